/* SPDX-License-Identifier: Apache-2.0
 *
 * The ladder: look, save, then one way after another until one works.
 */
#include "agent/node/op_rejoin.h"

#include <stdio.h>
#include <string.h>

#include "agent/node/pgconf.h"
#include "common/base/mem.h"
#include "common/io/clock.h"
#include "common/io/files.h"
#include "common/io/log.h"

static hf_result copy(struct hf_rejoin *r, struct hf_err *err)
{
    /* The source may have gone since: what is here is emptied only for one that answers. */
    HF_TRY(hf_op_slot_make(r->op, r->slot, err));
    HF_TRY(hf_op_check(r->op, err));
    return hf_op_copy_fresh(r->op, r->slot, err);
}

static hf_result carry_out(struct hf_rejoin *r, enum hf_rejoin_way way, struct hf_err *err)
{
    static hf_result (*const functions[HF_REJOIN_WAYS])(struct hf_rejoin *, struct hf_err *) = {
        [HF_REJOIN_FOLLOW] = hf_rejoin_follow,
        [HF_REJOIN_REWIND] = hf_rejoin_rewind,
        [HF_REJOIN_COPY] = copy,
    };
    return functions[way](r, err);
}

static void tell_choice(const struct hf_rejoin_choice *c, const struct hf_rejoin_facts *f)
{
    for (int i = 0; i < HF_REJOIN_WAYS; i++) {
        const struct hf_rejoin_reason *why = &c->passed[i];
        if (why->word != NULL) {
            /* That WAL lies beyond the fork is why one rejoins; that data is missing, an empty
             * node's beginning. */
            bool usual = i == HF_REJOIN_FOLLOW || !(f->has_data || f->half_made);
            hf_log(usual ? HF_LOG_INFO : HF_LOG_NOTICE, "REJOIN_PASSED_OVER",
                   "a cheaper way does not fit",
                   HF_KV("way", hf_rejoin_way_name((enum hf_rejoin_way)i)),
                   HF_KV("reason", why->word), HF_KV("text", why->text));
        }
    }
}

static hf_result climb(struct hf_rejoin *r, struct hf_err *err)
{
    enum hf_rejoin_way from = HF_REJOIN_FOLLOW;
    for (;;) {
        struct hf_rejoin_choice c = hf_rejoin_choose(&r->facts, from);
        struct hf_err why;
        tell_choice(&c, &r->facts);
        hf_result done = carry_out(r, c.way, &why);
        bool last = c.way + 1 == HF_REJOIN_WAYS;
        if (hf_ok(done) || last || done.code == HF_E_CANCELED) {
            snprintf(r->op->way, sizeof(r->op->way), "%s", hf_rejoin_way_name(c.way));
            if (!hf_ok(done)) {
                *err = why;
            }
            return done;
        }
        hf_log(HF_LOG_WARNING, "REJOIN_WAY_FAILED", "a way failed; the next one is tried",
               HF_KV("way", hf_rejoin_way_name(c.way)), HF_KV_ERR(&why));
        from = (enum hf_rejoin_way)(c.way + 1);
    }
}

hf_result hf_op_rejoin(struct hf_op *op, struct hf_err *err)
{
    HF_AUTOFREE struct hf_rejoin *r = hf_alloc(sizeof(*r));
    hf_lclk began = hf_clock_lease();
    r->op = op;
    hf_pgconf_slot_name(op->env->config->name.s, r->slot, sizeof(r->slot));
    /* From here on the source keeps what this node will need. */
    HF_TRY(hf_op_slot_make(op, r->slot, err));
    HF_TRY(hf_op_check(op, err));
    HF_TRY(hf_rejoin_look(r, err));
    HF_TRY(hf_rejoin_salvage(r, err));
    hf_result done = climb(r, err);
    HF_IGNORE(hf_dir_remove_tree(r->state_dir, NULL), "the next attempt begins with that");
    HF_TRY(done);
    op->took = hf_lclk_sub(hf_clock_lease(), began);
    hf_log(HF_LOG_NOTICE, "REJOIN_DONE", "the node is a standby of the source",
           HF_KV("way", op->way), HF_KV("source", op->address), HF_KV_DUR("took_ms", op->took),
           HF_KV("salvaged", op->salvaged));
    return hf_done();
}
