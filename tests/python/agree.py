"""Answers questions to which our code has answers, too.

usage: agree.py canonical|patterns|bins < QUESTIONS

One question a line, as JSON; one answer a line, as JSON:
- canonical: a document; its canonical form in hex digits, or null.
- patterns: [pattern, path]; whether the path is one of the pattern's.
- bins: [bit_length, path]; the bin's name.
"""

import json
import sys

from securesystemslib.exceptions import FormatError
from securesystemslib.formats import encode_canonical
from tuf.api.metadata import DelegatedRole, SuccinctRoles


def canonical(line: str):
    try:
        return encode_canonical(json.loads(line)).encode("utf-8").hex()
    except (FormatError, UnicodeEncodeError, ValueError):
        return None


def patterns(line: str):
    pattern, path = json.loads(line)
    return DelegatedRole("r", [], 1, False, [pattern]).is_delegated_path(path)


def bins(line: str):
    bit_length, path = json.loads(line)
    return SuccinctRoles([], 1, bit_length, "bin").get_role_for_target(path)


answer = {"canonical": canonical, "patterns": patterns, "bins": bins}[sys.argv[1]]
for question in sys.stdin:
    print(json.dumps(answer(question)))
