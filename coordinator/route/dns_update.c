/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/route/dns_update.h"

#include <ldns/ldns.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/route/route_provider.h"

static void free_list(ldns_rr_list **list)
{
    ldns_rr_list_deep_free(*list);
}
#define AUTOLIST __attribute__((cleanup(free_list)))

static void free_packet(ldns_pkt **packet)
{
    ldns_pkt_free(*packet);
}
#define AUTOPACKET __attribute__((cleanup(free_packet)))

static ldns_rr_type rr_type(enum hf_route_type type)
{
    return ldns_get_rr_type_by_name(HF_ROUTE_TYPE_NAMES[type]);
}

/* A record without data: "any value" and "no value" of the prerequisites, "delete all". */
static hf_result push_empty(ldns_rr_list *list, const char *name, ldns_rr_type type,
                            ldns_rr_class class, struct hf_err *err)
{
    ldns_rdf *owner = ldns_dname_new_frm_str(name);
    ldns_rr *rr = owner != NULL ? ldns_rr_new() : NULL;
    if (rr == NULL) {
        ldns_rdf_deep_free(owner);
        return hf_fail(err, HF_E_INVALID, "%s is not a DNS name", name);
    }
    ldns_rr_set_owner(rr, owner);
    ldns_rr_set_type(rr, type);
    ldns_rr_set_class(rr, class);
    ldns_rr_set_ttl(rr, 0);
    (void)ldns_rr_list_push_rr(list, rr);
    return hf_done();
}

static hf_result push_value(ldns_rr_list *list, const struct hf_route_record *record,
                            const char *value, hf_dur ttl, struct hf_err *err)
{
    char text[HF_POLICY_DNS_NAME_SIZE + HF_ADDRESS_SIZE + 64];
    ldns_rr *rr = NULL;
    (void)snprintf(text, sizeof text, "%s %" PRId64 " IN %s %s", record->name, ttl.us / 1000000,
                   HF_ROUTE_TYPE_NAMES[record->type], value);
    ldns_status status = ldns_rr_new_frm_str(&rr, text, 0, NULL, NULL);
    if (status != LDNS_STATUS_OK) {
        return hf_fail(err, HF_E_INVALID, "\"%.200s\" is no DNS record: %s", text,
                       ldns_get_errorstr_by_id(status));
    }
    ldns_rr_set_ttl(rr, (uint32_t)(ttl.us / 1000000));
    (void)ldns_rr_list_push_rr(list, rr);
    return hf_done();
}

/* RFC 2136, 2.4: exactly the values that were read (2.4.2), or none (2.4.3, 2.4.5). */
static hf_result prerequisites(const struct hf_route_record *record,
                               const struct hf_route_seen *seen, ldns_rr_list *ret,
                               struct hf_err *err)
{
    if (seen->count > HF_ROUTE_VALUES) {
        return hf_fail(err, HF_E_REFUSED, "%s has %d records of type %s, at most %d are replaced",
                       record->name, seen->count, HF_ROUTE_TYPE_NAMES[record->type],
                       HF_ROUTE_VALUES);
    }
    for (int i = 0; i < seen->count; i++) {
        HF_TRY(push_value(ret, record, seen->values[i], HF_US(0), err));
    }
    if (seen->count > 0) {
        return hf_done();
    }
    return push_empty(ret, record->name,
                      record->type == HF_ROUTE_CNAME ? LDNS_RR_TYPE_ANY : rr_type(record->type),
                      LDNS_RR_CLASS_NONE, err);
}

hf_result hf_dns_update_build(const char *zone, const struct hf_route_record *record,
                              const struct hf_route_seen *seen, uint16_t id, uint8_t *ret,
                              size_t size, size_t *ret_len, struct hf_err *err)
{
    AUTOLIST ldns_rr_list *needed = ldns_rr_list_new();
    AUTOLIST ldns_rr_list *changes = ldns_rr_list_new();
    AUTOPACKET ldns_pkt *packet = NULL;
    HF_TRY(prerequisites(record, seen, needed, err));
    HF_TRY(push_empty(changes, record->name, rr_type(record->type), LDNS_RR_CLASS_ANY, err));
    HF_TRY(push_value(changes, record, record->value, record->ttl, err));
    ldns_rdf *apex = ldns_dname_new_frm_str(zone);
    if (apex == NULL) {
        return hf_fail(err, HF_E_INVALID, "zone %s is not a DNS name", zone);
    }
    packet = ldns_update_pkt_new(apex, LDNS_RR_CLASS_IN, needed, changes, NULL);
    if (packet == NULL) {
        ldns_rdf_deep_free(apex);
        return hf_fail(err, HF_E_INTERNAL, "no DNS update for %s", record->name);
    }
    ldns_pkt_set_id(packet, id);
    uint8_t *wire = NULL;
    size_t len = 0;
    ldns_status status = ldns_pkt2wire(&wire, packet, &len);
    hf_result r = hf_done();
    if (status != LDNS_STATUS_OK || len > size) {
        r = hf_fail(err, HF_E_INVALID, "DNS update for %s: %s", record->name,
                    ldns_get_errorstr_by_id(status));
    } else {
        memcpy(ret, wire, len);
        *ret_len = len;
    }
    LDNS_FREE(wire);
    return r;
}

static const struct {
    int rcode;
    enum hf_code code;
    const char *text;
} RCODES[] = {
    {LDNS_RCODE_FORMERR, HF_E_REFUSED, "FORMERR: the server does not understand the update"},
    {LDNS_RCODE_SERVFAIL, HF_E_AGAIN, "SERVFAIL: the server cannot do it now"},
    {LDNS_RCODE_NXDOMAIN, HF_E_CONFLICT, "NXDOMAIN: what was read is gone"},
    {LDNS_RCODE_NOTIMPL, HF_E_REFUSED, "NOTIMP: the server takes no updates"},
    {LDNS_RCODE_REFUSED, HF_E_DENIED, "REFUSED: the server's policy does not let this key do it"},
    {LDNS_RCODE_YXDOMAIN, HF_E_CONFLICT, "YXDOMAIN: the name is in use by other records"},
    {LDNS_RCODE_YXRRSET, HF_E_CONFLICT, "YXRRSET: somebody has set the record since it was read"},
    {LDNS_RCODE_NXRRSET, HF_E_CONFLICT,
     "NXRRSET: somebody has changed the record since it was read"},
    {LDNS_RCODE_NOTAUTH, HF_E_NOT_FOUND, "NOTAUTH: the server is not the zone's primary"},
    {LDNS_RCODE_NOTZONE, HF_E_NOT_FOUND, "NOTZONE: the name is not within the zone"},
};

static hf_result check_rcode(int rcode, const char *name, struct hf_err *err)
{
    if (rcode == LDNS_RCODE_NOERROR) {
        return hf_done();
    }
    for (size_t i = 0; i < sizeof RCODES / sizeof RCODES[0]; i++) {
        if (RCODES[i].rcode == rcode) {
            return hf_fail(err, RCODES[i].code, "%s: %s", name, RCODES[i].text);
        }
    }
    return hf_fail(err, HF_E_REFUSED, "%s: response code %d", name, rcode);
}

hf_result hf_dns_update_parse(const uint8_t *bytes, size_t len, uint16_t id,
                              const struct hf_route_record *record, struct hf_err *err)
{
    AUTOPACKET ldns_pkt *packet = NULL;
    ldns_status status = ldns_wire2pkt(&packet, bytes, len);
    if (status != LDNS_STATUS_OK) {
        return hf_fail(err, HF_E_CORRUPT, "DNS answer: %s", ldns_get_errorstr_by_id(status));
    }
    if (!ldns_pkt_qr(packet) || ldns_pkt_id(packet) != id ||
        ldns_pkt_get_opcode(packet) != LDNS_PACKET_UPDATE) {
        return hf_fail(err, HF_E_STALE, "DNS packet is not the answer to the update");
    }
    return check_rcode((int)ldns_pkt_get_rcode(packet), record->name, err);
}

/* The name is an alias where addresses are wanted: the server would drop them without a word. */
static hf_result check_alias(const uint8_t *bytes, size_t len, const struct hf_route_record *record,
                             struct hf_err *err)
{
    AUTOPACKET ldns_pkt *packet = NULL;
    if (record->type == HF_ROUTE_CNAME || ldns_wire2pkt(&packet, bytes, len) != LDNS_STATUS_OK) {
        return hf_done();
    }
    ldns_rdf *owner = ldns_dname_new_frm_str(record->name);
    bool alias = false;
    const ldns_rr_list *answers = ldns_pkt_answer(packet);
    for (size_t i = 0; owner != NULL && i < ldns_rr_list_rr_count(answers); i++) {
        const ldns_rr *rr = ldns_rr_list_rr(answers, i);
        alias = alias || (ldns_rr_get_type(rr) == LDNS_RR_TYPE_CNAME &&
                          ldns_dname_compare(ldns_rr_owner(rr), owner) == 0);
    }
    ldns_rdf_deep_free(owner);
    return alias ? hf_fail(err, HF_E_REFUSED,
                           "%s is a CNAME; a record of type %s cannot stand beside it: remove it, "
                           "or set route.type CNAME",
                           record->name, HF_ROUTE_TYPE_NAMES[record->type])
                 : hf_done();
}

hf_result hf_dns_seen_parse(const uint8_t *packet, size_t len, uint16_t id,
                            const struct hf_route_record *record, struct hf_route_seen *ret,
                            struct hf_err *err)
{
    struct hf_dns_answer answer;
    struct hf_route_seen seen = {.count = 0};
    HF_TRY(hf_dns_parse(packet, len, record->name, record->type, id, &answer, err));
    if (answer.rcode != LDNS_RCODE_NXDOMAIN) {
        HF_TRY(check_rcode(answer.rcode, record->name, err));
    }
    if (!answer.authoritative) {
        return hf_fail(err, HF_E_NOT_FOUND, "the server has no authority over %s", record->name);
    }
    HF_TRY(check_alias(packet, len, record, err));
    for (int i = 0; i < answer.count; i++) {
        hf_route_seen_add(&seen, answer.ttl, i < HF_DNS_VALUES ? answer.values[i] : "");
    }
    hf_route_seen_compare(&seen, record);
    *ret = seen;
    return hf_done();
}
