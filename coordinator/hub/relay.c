/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/hub/hub.h"

hf_result hf_hub_check_hello(const struct hf_identity *identity, const struct hf_hello *hello,
                             struct hf_err *err)
{
    if (identity->kind != HF_IDENTITY_AGENT) {
        return hf_fail(err, HF_E_DENIED, "the certificate is not an agent's");
    }
    if (!hf_name_equal(&identity->tenant, &hello->tenant)) {
        return hf_fail(err, HF_E_DENIED, "hello says tenant %s, the certificate %s",
                       hello->tenant.s, identity->tenant.s);
    }
    if (!hf_name_equal(&identity->region, &hello->region)) {
        return hf_fail(err, HF_E_DENIED, "hello says region %s, the certificate %s",
                       hello->region.s, identity->region.s);
    }
    if (!hf_name_equal(&identity->name, &hello->node)) {
        return hf_fail(err, HF_E_DENIED, "hello says node %s, the certificate %s", hello->node.s,
                       identity->name.s);
    }
    return hf_done();
}

struct hf_warm_node *hf_hub_relay_target(const struct hf_warm_node *from,
                                         const struct hf_message *m, const char **ret_why)
{
    const hf_name *speaker = NULL;
    const hf_name *to = NULL;
    *ret_why = "";
    if (m->type == HF_MESSAGE_PROMISE_REQUEST) {
        speaker = &m->promise_request.holder;
        to = &m->promise_request.to;
    } else if (m->type == HF_MESSAGE_PROMISE_REPLY) {
        speaker = &m->promise_reply.from;
        to = &m->promise_reply.holder;
    } else {
        *ret_why = "is not a promise message";
        return NULL;
    }
    if (!hf_name_equal(speaker, &from->view.name)) {
        *ret_why = "is in another node's name";
        return NULL;
    }
    struct hf_warm_node *n = hf_warm_node(from->cluster, to->s);
    if (n == NULL || n == from) {
        *ret_why = "is for a node that is not known here";
        return NULL;
    }
    return n;
}
