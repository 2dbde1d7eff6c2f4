/* SPDX-License-Identifier: Apache-2.0
 *
 * Names of tenants, clusters, regions, nodes, coordinators, users and providers.
 * Invariant: an hf_name that came through hf_name_parse is [a-z0-9]([a-z0-9-]*[a-z0-9])?, shorter
 * than HF_NAME_SIZE: safe in a path, a repository key, an etcd key, a URL and an application_name.
 */
#ifndef HF_CORE_NAME_H
#define HF_CORE_NAME_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"
#include "holdfast/types.h"

/* What a name may look like, for messages. */
#define HF_NAME_ALLOWED "1 to 63 of a-z, 0-9 and -, neither first nor last a -"

bool hf_name_valid(const char *text, size_t len);
/* what names the thing in the message ("region"). HF_E_INVALID. */
hf_result hf_name_parse(const char *what, const char *text, hf_name *ret,
                        struct hf_err *err) HF_MUST_USE;
bool hf_name_equal(const hf_name *a, const hf_name *b);
bool hf_name_is(const hf_name *a, const char *text);
bool hf_name_empty(const hf_name *a);

#endif
