/* SPDX-License-Identifier: Apache-2.0
 *
 * The agent's connections to all coordinators (docs/protocol.md, section 1): hello first,
 * heartbeats latest-wins, everything else in order, reports from the outbox until they are
 * acknowledged. Invariants: a message counts only from a peer whose certificate names a coordinator
 * of the own trust domain; a reply goes to the very connection that its question came from, or
 * nowhere. Loop thread only.
 */
#ifndef HF_LINK_LINK_H
#define HF_LINK_LINK_H

#include "common/core/message.h"
#include "common/io/config_agent.h"
#include "common/io/worker.h"
#include "common/io/ws.h"

struct hf_link;

/* origin: for hf_link_reply. */
typedef void (*hf_link_message)(void *arg, unsigned origin, const struct hf_message *m);

/* config is borrowed. boot: this boot's id. pool: writes the outbox below state_dir. */
hf_result hf_link_new(struct hf_ws_hub *hub, struct hf_pool *pool,
                      const struct hf_config_agent *config, const char *boot, hf_link_message fn,
                      void *arg, struct hf_link **ret, struct hf_err *err) HF_MUST_USE;
/* Closes the connections. After the pool was freed, before the hub is. NULL allowed. */
void hf_link_free(struct hf_link *link);

void hf_link_send(struct hf_link *link, const struct hf_message *m);
void hf_link_reply(struct hf_link *link, unsigned origin, const struct hf_message *m);
/* Durable, at least once. Errors as hf_outbox_add. */
hf_result hf_link_report(struct hf_link *link, const struct hf_report *report,
                         struct hf_err *err) HF_MUST_USE;

size_t hf_link_connected(const struct hf_link *link);
size_t hf_link_reports(const struct hf_link *link); /* that wait for an acknowledgement */

#endif
