/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/mem.h"
#include "common/io/postgres_internal.h"

#include <libpq-fe.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int hf_pg_rows(const struct hf_pg_result *r)
{
    return PQntuples(r->res);
}

int hf_pg_columns(const struct hf_pg_result *r)
{
    return PQnfields(r->res);
}

int hf_pg_column(const struct hf_pg_result *r, const char *name)
{
    for (int i = 0; i < PQnfields(r->res); i++) {
        if (strcmp(PQfname(r->res, i), name) == 0) {
            return i;
        }
    }
    return -1;
}

int64_t hf_pg_affected(const struct hf_pg_result *r)
{
    return strtoll(PQcmdTuples(r->res), NULL, 10);
}

static void check_range(const struct hf_pg_result *r, int row, int column)
{
    HF_ASSERT(row >= 0 && row < PQntuples(r->res));
    HF_ASSERT(column >= 0 && column < PQnfields(r->res));
}

bool hf_pg_is_null(const struct hf_pg_result *r, int row, int column)
{
    check_range(r, row, column);
    return PQgetisnull(r->res, row, column) == 1;
}

const char *hf_pg_text(const struct hf_pg_result *r, int row, int column)
{
    check_range(r, row, column);
    return PQgetvalue(r->res, row, column);
}

size_t hf_pg_length(const struct hf_pg_result *r, int row, int column)
{
    check_range(r, row, column);
    return (size_t)PQgetlength(r->res, row, column);
}

static hf_result malformed(const struct hf_pg_result *r, int row, int column, const char *wanted,
                           struct hf_err *err)
{
    return hf_fail(err, HF_E_INVALID, "column %s, row %d: %s%.64s%s is not %s",
                   PQfname(r->res, column), row, hf_pg_is_null(r, row, column) ? "NULL" : "'",
                   hf_pg_text(r, row, column), hf_pg_is_null(r, row, column) ? "" : "'", wanted);
}

hf_result hf_pg_u64(const struct hf_pg_result *r, int row, int column, uint64_t *ret,
                    struct hf_err *err)
{
    const char *text = hf_pg_text(r, row, column);
    char *end;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0) {
        return malformed(r, row, column, "an unsigned number", err);
    }
    *ret = v;
    return hf_done();
}

hf_result hf_pg_i64(const struct hf_pg_result *r, int row, int column, int64_t *ret,
                    struct hf_err *err)
{
    const char *text = hf_pg_text(r, row, column);
    const char *digits = text + (text[0] == '-');
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (digits[0] < '0' || digits[0] > '9' || *end != '\0' || errno != 0) {
        return malformed(r, row, column, "a number", err);
    }
    *ret = v;
    return hf_done();
}

hf_result hf_pg_bool(const struct hf_pg_result *r, int row, int column, bool *ret,
                     struct hf_err *err)
{
    const char *text = hf_pg_text(r, row, column);
    bool yes = strcmp(text, "t") == 0 || strcmp(text, "true") == 0 || strcmp(text, "on") == 0;
    bool no = strcmp(text, "f") == 0 || strcmp(text, "false") == 0 || strcmp(text, "off") == 0;
    if (!yes && !no) {
        return malformed(r, row, column, "a boolean", err);
    }
    *ret = yes;
    return hf_done();
}

hf_result hf_pg_lsn(const struct hf_pg_result *r, int row, int column, hf_lsn *ret,
                    struct hf_err *err)
{
    const char *text = hf_pg_text(r, row, column);
    size_t high_digits = strspn(text, "0123456789abcdefABCDEF");
    size_t low_digits =
        text[high_digits] != '/' ? 0 : strspn(text + high_digits + 1, "0123456789abcdefABCDEF");
    if (high_digits < 1 || high_digits > 8 || low_digits < 1 || low_digits > 8 ||
        text[high_digits + 1 + low_digits] != '\0') {
        return malformed(r, row, column, "an LSN", err);
    }
    uint64_t high = strtoull(text, NULL, 16);
    uint64_t low = strtoull(text + high_digits + 1, NULL, 16);
    *ret = HF_LSN(high << 32 | low);
    return hf_done();
}

void hf_pg_result_free(struct hf_pg_result *r)
{
    if (r != NULL) {
        PQclear(r->res);
        hf_free(r);
    }
}

void hf_pg_result_cleanup(struct hf_pg_result **r)
{
    hf_pg_result_free(*r);
}
