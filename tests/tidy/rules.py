# SPDX-License-Identifier: Apache-2.0
"""The house rules as data: who may include whom, which module owns which third-party header."""
import re

# Headers of the C library that a pure module may include: no clock, no I/O, no threads.
PURE_HEADERS = {
    "assert.h", "ctype.h", "errno.h", "float.h", "inttypes.h", "limits.h", "math.h", "setjmp.h",
    "stdalign.h", "stdarg.h", "stdbool.h", "stddef.h", "stdint.h", "stdlib.h", "stdnoreturn.h",
    "string.h", "strings.h", "endian.h",
}
# stdio.h gives vsnprintf as well as files: pure modules may include it; the symbols that they then
# use are checked in the objects (PURE_SYMBOLS below).
PURE_HEADERS.add("stdio.h")

# Folder (longest prefix wins) -> folders whose headers it may include, or single headers. "*libc"
# is any header of the C library or kernel, "*third" any third-party header (owned by one module
# each, see OWNERS).
LAYERS = {
    "include/holdfast": {"include/holdfast"},
    "common/base": {"common/base", "include/holdfast", "*libc"},
    "common/core": {"common/core", "common/base", "include/holdfast"},
    "common/io": {"common/io", "common/core", "common/base", "include/holdfast", "*libc", "*third"},
    "agent/core": {"agent/core", "common/core", "common/base", "include/holdfast"},
    # Of the agent and the edges it takes two files, compiled into it: the page and the clock.
    "agent/pgmodule": {"agent/pgmodule", "agent/fence/page.h", "common/io/clock.h",
                       "include/holdfast", "common/base", "*libc", "*third"},
    "agent": {"agent", "common", "include/holdfast", "*libc", "*third"},
    "coordinator/core": {"coordinator/core", "common/core", "common/base", "include/holdfast"},
    "coordinator": {"coordinator", "common", "include/holdfast", "*libc", "*third"},
    "tests/sim": {"tests/sim", "agent/core", "coordinator/core", "common/core", "common/base",
                  "include/holdfast", "*libc"},
    "tests/unit/common": {"common", "include/holdfast", "tests", "*libc", "*third"},
    "tests/unit/agent": {"agent", "common", "include/holdfast", "tests", "*libc", "*third"},
    "tests/unit/coordinator": {"coordinator", "common", "include/holdfast", "tests", "*libc",
                               "*third"},
    "tests/integration": {"tests", "common", "coordinator", "include/holdfast", "*libc", "*third"},
    "tests": {"tests", "common", "include/holdfast", "*libc", "*third"},
}

# Third-party header (pattern) -> files that may include it (pattern).
OWNERS = [
    (r"cjson/cJSON\.h", r"common/core/json\.c"),
    (r"curl/.*", r"common/io/http[a-z0-9_]*\.c"),
    (r"libpq-fe\.h|libpq/.*|pg_config.*", r"common/io/(postgres|pg)[a-z0-9_]*\.c"),
    (r"libwebsockets\.h", r"common/io/(ws|loop)[a-z0-9_]*\.c"),
    (r"openssl/.*", r"common/io/(crypto|x509|tls)[a-z0-9_]*\.c"),
    (r"yaml\.h", r"common/io/yaml[a-z0-9_]*\.c"),
    (r"expat\.h", r"common/io/xml[a-z0-9_]*\.c"),
    (r"zstd(_errors)?\.h", r"common/io/compress[a-z0-9_]*\.c"),
    (r"systemd/.*", r"common/io/(log|service)[a-z0-9_]*\.c"),
    (r"xxhash\.h", r"common/io/(crypto|hash|pagehash)[a-z0-9_]*\.c"),
    (r"ldns/.*", r"coordinator/route/dns_[a-z]+\.c"),
    (r"libsmartcols/.*", r"coordinator/ctl/[a-z0-9_]+\.c"),
    (r"cmocka\.h", r"tests/.*"),
    (r"(postgres|fmgr|funcapi|miscadmin|pgstat)\.h|(access|catalog|commands|executor|nodes|port|"
     r"postmaster|replication|storage|tcop|utils)/.*\.h", r"agent/pgmodule/[a-z]+\.[ch]"),
]

# Calls nobody makes, with what to use instead.
BANNED = {
    "strcpy": "hf_buf or memcpy with a checked size", "strcat": "hf_buf",
    "strncpy": "memcpy with a checked size", "strncat": "hf_buf",
    "sprintf": "snprintf or hf_buf_printf", "vsprintf": "vsnprintf",
    "gets": "bounded reads", "system": "posix_spawn with an argument vector",
    "popen": "posix_spawn with an argument vector", "strtok": "hf_text helpers",
    "atoi": "a parser that refuses", "atol": "a parser that refuses",
    "atoll": "a parser that refuses", "atof": "a parser that refuses",
    "alloca": "hf_arena", "tmpnam": "mkstemp", "mktemp": "mkstemp",
    "tempnam": "mkstemp", "setjmp": "hf_result", "longjmp": "hf_result", "vfork": "posix_spawn",
    "rand": "a seeded generator, or crypto", "localtime": "gmtime_r",
    "gmtime": "gmtime_r", "ctime": "strftime", "asctime": "strftime",
    "signal": "sigaction", "usleep": "a timer of the loop",
}
# In tests a short sleep beside a deadline is fine.
TESTS_MAY_CALL = {"usleep"}
FORBIDDEN_STATEMENTS = {"goto": r"\bgoto\s+\w+\s*;"}

# Symbols that objects of a pure library may take from outside (besides each other).
PURE_SYMBOLS = re.compile(r"""^(
    mem(cpy|cmp|set|move|chr|rchr|mem)
    |str(n?len|chrnul|n?cmp|n?casecmp|r?chr|str|spn|cspn|tou?ll?|nstr)
    |strtod|(v?snprintf)|bsearch|qsort|qsort_r|abs|labs|llabs|(ll|l)?div|abort|__assert_fail
    |__(memcpy|memmove|memset|snprintf|vsnprintf|strcpy|strcat|stpcpy)_chk|__stack_chk_fail
    |__isoc\w+|__ctype_\w+_loc|__errno_location|_GLOBAL_OFFSET_TABLE_
    |isalnum|isdigit|tolower|toupper
    |(is(nan|inf)|floor|ceil|pow|log|log2|exp|sqrt|l?l?rint|(l?l)?round|fm(in|ax)|trunc)f?
    |htobe\d+|be\d+toh|explicit_bzero|__explicit_bzero_chk|strnlen
    |(hf|HF)_\w+
)$""", re.X)
# Only the one JSON module reaches cJSON and the heap behind it.
JSON_SYMBOLS = re.compile(r"^(cJSON_\w+|free|malloc)$")

SPDX = "SPDX-License-Identifier: Apache-2.0"
MAX_FILE_LINES = 600
MAX_FUNCTION_LINES = 90

# Words that belong to a developer's machine or a work process, never to the repository. Written so
# that this file does not match itself.
FORBIDDEN_TEXT = [
    (r"/(wor[k]|far[m])/", "path of one machine"),
    (r"https?://(de[b]|registr[y])\.", "registry host"),
    (r"\b(TOD[O]|FIXM[E]|XX[X]|HAC[K])\b", "mark of unfinished work"),
    (r"\bnot (yet )?implemente[d]\b", "mark of unfinished work"),
    (r"-----BEGIN ([A-Z]+ )?PRIVATE KE[Y]-----", "private key"),
]
