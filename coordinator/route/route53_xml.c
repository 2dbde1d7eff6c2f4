/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/route/route53_xml.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/io/xml.h"

/* --- writing --- */

static bool plain(const char *text)
{
    for (; *text != '\0'; text++) {
        if (!isalnum((unsigned char)*text) && strchr(".:-_", *text) == NULL) {
            return false;
        }
    }
    return true;
}

hf_result hf_r53_write_change(const struct hf_route_record *record, struct hf_buf *out,
                              struct hf_err *err)
{
    if (!plain(record->name) || !plain(record->value)) {
        return hf_fail(err, HF_E_INVALID, "%s or %s is neither a plain name nor an address",
                       record->name, record->value);
    }
    return hf_buf_printf(
        out, err,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ChangeResourceRecordSetsRequest "
        "xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><ChangeBatch>"
        "<Comment>holdfast</Comment><Changes><Change><Action>UPSERT</Action><ResourceRecordSet>"
        "<Name>%s</Name><Type>%s</Type><TTL>%" PRId64 "</TTL><ResourceRecords><ResourceRecord>"
        "<Value>%s</Value></ResourceRecord></ResourceRecords></ResourceRecordSet></Change>"
        "</Changes></ChangeBatch></ChangeResourceRecordSetsRequest>",
        record->name, HF_ROUTE_TYPE_NAMES[record->type], record->ttl.us / 1000000, record->value);
}

/* --- reading --- */

static void copy(const char *text, size_t len, char *ret, size_t size)
{
    size_t n = len < size - 1 ? len : size - 1;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        ret[i] = c < 32 || c > 126 ? ' ' : (char)c;
    }
    ret[n] = '\0';
}

static hf_result read_all(const char *text, size_t len, hf_xml_element_end on_end, void *arg,
                          struct hf_err *err)
{
    HF_AUTOXML struct hf_xml *x = hf_xml_new(HF_R53_ANSWER_MAX, on_end, arg);
    HF_TRY(hf_xml_feed(x, text, len, err));
    return hf_xml_finish(x, err);
}

struct list {
    const struct hf_route_record *want;
    struct hf_route_seen seen;
    bool complete; /* the root has ended */
    /* the set that is being read */
    char name[HF_POLICY_DNS_NAME_SIZE];
    char type[16];
    hf_dur ttl;
    int count;
    char values[HF_ROUTE_VALUES][HF_ADDRESS_SIZE];
    char identifier[64];
    bool alias;
};

static void forget_set(struct list *l)
{
    l->name[0] = l->type[0] = l->identifier[0] = '\0';
    l->ttl = HF_US(0);
    l->count = 0;
    l->alias = false;
}

static hf_result end_set(struct list *l, struct hf_err *err)
{
    bool wanted = hf_route_name_equal(l->name, l->want->name) &&
                  strcmp(l->type, HF_ROUTE_TYPE_NAMES[l->want->type]) == 0;
    if (wanted && (l->alias || l->identifier[0] != '\0')) {
        return hf_fail(err, HF_E_REFUSED,
                       "%s is %s%s at Route 53; only a simple record set is replaced", l->name,
                       l->alias ? "an alias" : "of a routing policy, set identifier ",
                       l->alias ? "" : l->identifier);
    }
    for (int i = 0; wanted && i < l->count; i++) {
        hf_route_seen_add(&l->seen, l->ttl, i < HF_ROUTE_VALUES ? l->values[i] : "");
    }
    forget_set(l);
    return hf_done();
}

static hf_result list_element(void *arg, const char *path, const char *text, size_t len,
                              struct hf_err *err)
{
#define SET "ListResourceRecordSetsResponse/ResourceRecordSets/ResourceRecordSet"
    struct list *l = arg;
    if (strcmp(path, "ListResourceRecordSetsResponse") == 0) {
        l->complete = true;
    } else if (strcmp(path, SET) == 0) {
        return end_set(l, err);
    } else if (strcmp(path, SET "/Name") == 0) {
        copy(text, len, l->name, sizeof l->name);
    } else if (strcmp(path, SET "/Type") == 0) {
        copy(text, len, l->type, sizeof l->type);
    } else if (strcmp(path, SET "/SetIdentifier") == 0) {
        copy(text, len, l->identifier, sizeof l->identifier);
    } else if (strcmp(path, SET "/AliasTarget") == 0) {
        l->alias = true;
    } else if (strcmp(path, SET "/TTL") == 0) {
        char *end = NULL;
        unsigned long ttl = strtoul(text, &end, 10);
        if (len == 0 || end != text + len || ttl > INT32_MAX) {
            return hf_fail(err, HF_E_CORRUPT, "Route 53's listing has a TTL that is no number");
        }
        l->ttl = HF_SEC(ttl);
    } else if (strcmp(path, SET "/ResourceRecords/ResourceRecord/Value") == 0) {
        if (l->count < HF_ROUTE_VALUES) {
            copy(text, len, l->values[l->count], sizeof l->values[0]);
        }
        l->count++;
    }
    return hf_done();
}

hf_result hf_r53_read_list(const char *text, size_t len, const struct hf_route_record *want,
                           struct hf_route_seen *ret, struct hf_err *err)
{
    struct list l = {.want = want};
    HF_TRY(read_all(text, len, list_element, &l, err));
    if (!l.complete) {
        return hf_fail(err, HF_E_CORRUPT, "Route 53's answer is not a list of record sets");
    }
    hf_route_seen_compare(&l.seen, want);
    *ret = l.seen;
    return hf_done();
}

struct change {
    char id[HF_R53_ID_SIZE + 16];
    char status[16];
};

static bool ends_with(const char *path, const char *end)
{
    size_t n = strlen(path);
    size_t m = strlen(end);
    return n >= m && strcmp(path + n - m, end) == 0;
}

static hf_result change_element(void *arg, const char *path, const char *text, size_t len,
                                struct hf_err *err)
{
    struct change *c = arg;
    (void)err;
    if (ends_with(path, "Response/ChangeInfo/Id")) {
        copy(text, len, c->id, sizeof c->id);
    } else if (ends_with(path, "Response/ChangeInfo/Status")) {
        copy(text, len, c->status, sizeof c->status);
    }
    return hf_done();
}

hf_result hf_r53_read_change(const char *text, size_t len, struct hf_r53_change *ret,
                             struct hf_err *err)
{
    struct change c = {.id = ""};
    HF_TRY(read_all(text, len, change_element, &c, err));
    const char *id = strncmp(c.id, "/change/", 8) == 0 ? c.id + 8 : c.id;
    size_t n = strlen(id);
    bool good = n > 0 && n < HF_R53_ID_SIZE;
    for (size_t i = 0; i < n; i++) {
        good = good && isalnum((unsigned char)id[i]);
    }
    bool in_sync = strcmp(c.status, "INSYNC") == 0;
    if (!good || (!in_sync && strcmp(c.status, "PENDING") != 0)) {
        return hf_fail(err, HF_E_CORRUPT, "Route 53's answer is not about a change");
    }
    memcpy(ret->id, id, n + 1);
    ret->in_sync = in_sync;
    return hf_done();
}

/* <ErrorResponse><Error><Code>, or <InvalidChangeBatch><Messages><Message>. */
static hf_result error_element(void *arg, const char *path, const char *text, size_t len,
                               struct hf_err *err)
{
    struct hf_r53_error *e = arg;
    (void)err;
    if (ends_with(path, "Error/Code")) {
        copy(text, len, e->code, sizeof e->code);
    } else if (ends_with(path, "/Message") && e->message[0] == '\0') {
        copy(text, len, e->message, sizeof e->message);
    } else if (strcmp(path, "InvalidChangeBatch") == 0 && e->code[0] == '\0') {
        copy(path, strlen(path), e->code, sizeof e->code);
    }
    return hf_done();
}

void hf_r53_read_error(const char *text, size_t len, struct hf_r53_error *ret)
{
    struct hf_r53_error e = {.code = ""};
    if (!hf_ok(read_all(text, len, error_element, &e, NULL))) {
        e = (struct hf_r53_error){.code = ""};
    }
    *ret = e;
}
