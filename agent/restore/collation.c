/* SPDX-License-Identifier: Apache-2.0 */
#include <gnu/libc-version.h>
#include <string.h>

#include "agent/restore/restore.h"

enum { NAMED_MAX = 8 };

/* Indexes by a collation other than C and POSIX, in the database where it is asked. */
static const char INDEXES[] =
    "SELECT indexrelid::regclass FROM pg_index WHERE EXISTS "
    "(SELECT 1 FROM unnest(indcollation) c WHERE c NOT IN (0, 950, 951));";

/* libc's version is the host's; ICU's is known to a running server alone. */
static bool differs(const struct hf_manifest_collation *c, const char *libc)
{
    return strcmp(c->provider, "libc") != 0 || strcmp(c->version, libc) != 0;
}

hf_result hf_restore_collations(const struct hf_manifest *m, const char *libc, struct hf_buf *ret,
                                struct hf_err *err)
{
    size_t count = 0;
    for (size_t i = 0; i < m->collation_count; i++) {
        const struct hf_manifest_collation *c = &m->collations[i];
        if (!differs(c, libc) || ++count > NAMED_MAX) {
            continue;
        }
        bool known = strcmp(c->provider, "libc") == 0;
        HF_TRY(hf_buf_printf(ret, err, "  %s: made with %s %s, %s\n", c->name, c->provider,
                             c->version, known ? "this host has another" : "here unknown"));
    }
    if (count > NAMED_MAX) {
        HF_TRY(hf_buf_printf(ret, err, "  and %zu more\n", count - NAMED_MAX));
    }
    if (count > 0) {
        HF_TRY(hf_buf_printf(ret, err,
                             "  This host has libc %s. Where the version differs, indexes on text "
                             "may be out of order; in each such database this lists them, to be "
                             "rebuilt by REINDEX:\n  %s\n",
                             libc, INDEXES));
    }
    return hf_done();
}

const char *hf_restore_libc_version(void)
{
    return gnu_get_libc_version();
}
