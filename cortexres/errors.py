"""The errors a user can cause, each one line that says what was got, what was expected and what to do."""


class CortexresError(Exception):
    """Base of all errors that the command line prints as one line and exits 2 for."""


class SchemaError(CortexresError, ValueError):
    """A Dataset does not keep the schema of `cortexres.schema`."""


class DefinitionError(CortexresError, ValueError):
    """A circuit or network definition cannot be used."""


class DataFileError(CortexresError, OSError):
    """A file is missing, unreadable, unsafe or cannot be written."""


class ValidityError(CortexresError, ValueError):
    """A circuit lies outside the regime in which its mean field predicts it."""


class ArgumentError(CortexresError, ValueError):
    """An argument has a value that the function cannot take."""


class DivergedError(ArgumentError):
    """A training whose loss stopped being finite: with these arguments it does not converge."""


class SimulationError(CortexresError, RuntimeError):
    """A simulation could not be built or run."""
