"""Errors that are of vitascope's kind and of the kind that PyTorchVideo raised.

A program that catches PyTorchVideo's errors catches these; the message is vitascope's.
"""

from __future__ import annotations

from vitascope.errors import ConfigError, DatasetError, UnknownNameError


class RefusedArgumentError(ConfigError, AssertionError):
    """An illegal argument that PyTorchVideo refused by an assertion."""


class RefusedDataError(DatasetError, AssertionError):
    """Data without use, or that contradict themselves, which PyTorchVideo refused so."""


class EmptyFolderError(DatasetError, FileNotFoundError):
    """A folder of classes that has no video where one must be."""


class UnreadableDocumentError(DatasetError, FileNotFoundError):
    """A JSON document that is there and cannot be used; PyTorchVideo said it was not there."""


class NotOfferedError(UnknownNameError, NotImplementedError):
    """A sampler that there is not."""


class NotADecoderError(UnknownNameError, ValueError):
    """A decoder that there is not."""


class NotAMemberError(ConfigError, NotImplementedError):
    """A value of an enumeration that means nothing here."""


class MissingEntryError(DatasetError, KeyError):
    """A column, or the video of a clip, that is named and not there."""

    def __str__(self) -> str:  # KeyError would print the repr of the message.
        return str(self.args[0])


class NothingToWriteError(DatasetError, IndexError):
    """A table without a row."""


class TooManyFailuresError(DatasetError, RuntimeError):
    """So many videos in a row could not be read that something else must be wrong."""
