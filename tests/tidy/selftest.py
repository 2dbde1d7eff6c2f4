# SPDX-License-Identifier: Apache-2.0
"""Planted faults, one a check: a check that finds nothing here would find nothing anywhere."""
import os

SPDX_C = "/* SPDX-License-Identifier: Apache-2.0 */\n"

PLANTED = {
    "layering": {"common/core/x.c": SPDX_C + "#include <time.h>\n"},
    "owners": {"common/io/files.c": SPDX_C + "#include <openssl/evp.h>\n"},
    "file-size": {"common/io/x.c": SPDX_C + "\n" * 700},
    "function-size": {"common/io/x.c": "int x(void)\n{\n" + "    y();\n" * 100 + "}\n"},
    "banned-calls": {"common/io/x.c": "void x(char *a)\n{\n    strcpy(a, \"b\");\n}\n"},
    "spdx": {"common/io/x.c": "int x;\n"},
    "tabs": {"common/io/x.c": "\tint x;\n"},
    "forbidden-text": {"common/io/x.c": "/* " + "TO" + "DO */\n"},
    "header-docs": {"common/io/x.h": SPDX_C + "int x;\n"},
    "fault-points": {"common/io/x.c": "void x(void)\n{\n    HF_FAULT(\"x.y\", err);\n}\n"},
    "run-bits": {"deploy/x": "#!/bin/bash\n"},
    "docs-commands": {"README.md": "Run ./deploy/nothing now\n"},
    "docs-rules": {"coordinator/core/x.c": "const char *x = \"NOT_EXPLAINED: why\";\n"},
    "python": {"tests/x.py": "def x(:\n"},
    "shell": {"deploy/x.sh": "if then\n"},
    "format": {"common/io/x.c": "int  x ( void ){return 1;}\n",
               ".clang-format": "BasedOnStyle: LLVM\n"},
}
# These look at a build tree: what they need is made by the compiler, not by a planted text.
NEEDS_BUILD = {"symbols", "link", "cppcheck", "clang-tidy"}


def write(directory, files):
    for path, text in files.items():
        full = os.path.join(directory, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as f:
            f.write(text)
