/* SPDX-License-Identifier: Apache-2.0
 *
 * The XML documents of Route 53's API, version 2013-04-01: listings of record sets, changes and
 * errors are read; the one change that is asked for is written. Pure.
 * Invariant: what is not such a document is an error, never an empty result.
 */
#ifndef HF_COORDINATOR_ROUTE53_XML_H
#define HF_COORDINATOR_ROUTE53_XML_H

#include "coordinator/route/route_provider.h"

enum { HF_R53_ANSWER_MAX = 1 << 20, HF_R53_ID_SIZE = 64 };

/* ChangeResourceRecordSets with one UPSERT. HF_E_INVALID: a name or value of other characters than
 * names and addresses have. */
hf_result hf_r53_write_change(const struct hf_route_record *record, struct hf_buf *out,
                              struct hf_err *err) HF_MUST_USE;

/* ListResourceRecordSets: of the wanted name and type; other sets of the page are passed over.
 * HF_E_CORRUPT; HF_E_REFUSED: the record set is an alias or one of a routing policy, which an
 * UPSERT of a simple one would destroy or stand beside. */
hf_result hf_r53_read_list(const char *text, size_t len, const struct hf_route_record *want,
                           struct hf_route_seen *ret, struct hf_err *err) HF_MUST_USE;

/* ChangeInfo of ChangeResourceRecordSets and GetChange. */
struct hf_r53_change {
    char id[HF_R53_ID_SIZE]; /* without "/change/"; A-Z, a-z, 0-9 */
    bool in_sync;
};
hf_result hf_r53_read_change(const char *text, size_t len, struct hf_r53_change *ret,
                             struct hf_err *err) HF_MUST_USE;

/* Code and first message of an error, "" when it is no such document. */
struct hf_r53_error {
    char code[64];
    char message[200]; /* printable characters only */
};
void hf_r53_read_error(const char *text, size_t len, struct hf_r53_error *ret);

#endif
