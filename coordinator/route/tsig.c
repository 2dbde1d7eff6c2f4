/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/route/tsig.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/mem.h"

enum {
    HEADER = 12,
    RR_FIXED = 10, /* type, class, TTL, length of the data */
    TYPE_TSIG = 250,
    CLASS_ANY = 255,
    BADSIG = 16,
    BADKEY = 17,
    BADTIME = 18,
    BADTRUNC = 22,
    DIGEST_MAX = 66000
};

static const char *const ALGORITHMS[] = {"hmac-sha256", "hmac-sha512"};
static const size_t MAC_SIZES[] = {HF_SHA256_SIZE, HF_SHA512_SIZE};

static unsigned get16(const uint8_t *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

static void put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static uint64_t get48(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 0; i < 6; i++) {
        v = v << 8 | p[i];
    }
    return v;
}

static void put48(uint8_t *p, uint64_t v)
{
    for (int i = 5; i >= 0; i--) {
        p[i] = (uint8_t)v;
        v >>= 8;
    }
}

/* --- digest --- */

/* A name of the form "a.b" in wire form, lower case. The text was checked when the key was read. */
static size_t wire_name(const char *text, uint8_t ret[HF_TSIG_NAME_SIZE])
{
    size_t n = 0;
    while (*text != '\0') {
        size_t label = strcspn(text, ".");
        ret[n++] = (uint8_t)label;
        for (size_t i = 0; i < label; i++) {
            ret[n++] = (uint8_t)tolower((unsigned char)text[i]);
        }
        text += label;
        text += *text == '.' ? 1 : 0;
    }
    ret[n++] = 0;
    return n;
}

struct variables {
    uint64_t time_s;
    unsigned fudge;
    unsigned error;
    const uint8_t *other;
    size_t other_len;
};

/* HMAC over [the question's MAC,] the message without its TSIG, and the TSIG's variables. */
static hf_result digest(const struct hf_tsig_key *key, const struct hf_tsig_mac *question,
                        const uint8_t *packet, size_t len, const struct variables *v,
                        struct hf_tsig_mac *ret, struct hf_err *err)
{
    HF_BUF(text, DIGEST_MAX);
    uint8_t name[HF_TSIG_NAME_SIZE];
    uint8_t fixed[HEADER];
    if (question != NULL) {
        put16(fixed, (unsigned)question->len);
        HF_TRY(hf_buf_append(&text, fixed, 2, err));
        HF_TRY(hf_buf_append(&text, question->bytes, question->len, err));
    }
    HF_TRY(hf_buf_append(&text, packet, len, err));
    HF_TRY(hf_buf_append(&text, name, wire_name(key->name, name), err));
    put16(fixed, CLASS_ANY);
    memset(fixed + 2, 0, 4); /* TTL */
    HF_TRY(hf_buf_append(&text, fixed, 6, err));
    HF_TRY(hf_buf_append(&text, name, wire_name(ALGORITHMS[key->algorithm], name), err));
    put48(fixed, v->time_s);
    put16(fixed + 6, v->fudge);
    put16(fixed + 8, v->error);
    put16(fixed + 10, (unsigned)v->other_len);
    HF_TRY(hf_buf_append(&text, fixed, 12, err));
    HF_TRY(hf_buf_append(&text, v->other_len > 0 ? (const void *)v->other : "", v->other_len, err));
    ret->len = MAC_SIZES[key->algorithm];
    if (key->algorithm == HF_TSIG_SHA512) {
        hf_hmac_sha512(key->secret.data, key->secret.len, text.data, text.len, ret->bytes);
    } else {
        hf_hmac_sha256(key->secret.data, key->secret.len, text.data, text.len, ret->bytes);
    }
    return hf_done();
}

hf_result hf_tsig_sign(const struct hf_tsig_key *key, int64_t now_s, uint8_t *packet, size_t size,
                       size_t *len, struct hf_tsig_mac *ret, struct hf_err *err)
{
    struct hf_tsig_mac mac = {.len = 0};
    const struct variables v = {.time_s = (uint64_t)now_s, .fudge = HF_TSIG_FUDGE_S};
    if (*len < HEADER || size < *len || size - *len < HF_TSIG_ROOM) {
        return hf_fail(err, HF_E_LIMIT, "DNS message of %zu bytes has no room for a signature",
                       *len);
    }
    HF_TRY(digest(key, NULL, packet, *len, &v, &mac, err));
    uint8_t *p = packet + *len;
    p += wire_name(key->name, p);
    put16(p, TYPE_TSIG);
    put16(p + 2, CLASS_ANY);
    memset(p + 4, 0, 4);
    uint8_t *data = p + RR_FIXED;
    uint8_t *q = data + wire_name(ALGORITHMS[key->algorithm], data);
    put48(q, v.time_s);
    put16(q + 6, v.fudge);
    put16(q + 8, (unsigned)mac.len);
    memcpy(q + 10, mac.bytes, mac.len);
    q += 10 + mac.len;
    memcpy(q, packet, 2); /* the original id */
    put16(q + 2, 0);
    put16(q + 4, 0);
    q += 6;
    put16(p + 8, (unsigned)(q - data));
    put16(packet + 10, get16(packet + 10) + 1);
    *len = (size_t)(q - packet);
    *ret = mac;
    return hf_done();
}

/* --- reading an answer --- */

/* The place after the name at `at`, 0 when it runs out of the message. */
static size_t skip_name(const uint8_t *p, size_t len, size_t at)
{
    while (at < len) {
        if ((p[at] & 0xc0) == 0xc0) {
            return at + 2 <= len ? at + 2 : 0;
        }
        if (p[at] == 0) {
            return at + 1;
        }
        at += (size_t)p[at] + 1;
    }
    return 0;
}

/* Where the last record of the additional section begins, 0 when the message has none or is not
 * whole; *ret_end is the end of the message's last record. */
static size_t last_record(const uint8_t *p, size_t len, size_t *ret_end)
{
    size_t at = HEADER;
    size_t last = 0;
    unsigned records = get16(p + 6) + get16(p + 8) + get16(p + 10);
    for (unsigned i = 0; i < get16(p + 4); i++) {
        at = skip_name(p, len, at);
        if (at == 0 || at + 4 > len) {
            return 0;
        }
        at += 4;
    }
    for (unsigned i = 0; i < records; i++) {
        last = at;
        at = skip_name(p, len, at);
        if (at == 0 || at + RR_FIXED > len) {
            return 0;
        }
        at += RR_FIXED + get16(p + at + 8);
        if (at > len) {
            return 0;
        }
    }
    *ret_end = at;
    return get16(p + 10) > 0 ? last : 0;
}

/* What an answer's TSIG record says; all borrowed from the packet. */
struct signature {
    size_t begins; /* of the record in the message */
    const uint8_t *name;
    size_t name_len;
    const uint8_t *algorithm;
    size_t algorithm_len;
    const uint8_t *mac;
    size_t mac_len;
    const uint8_t *original_id;
    struct variables v;
};

static hf_result find_signature(const uint8_t *p, size_t len, struct signature *ret,
                                struct hf_err *err)
{
    size_t end = 0;
    size_t begins = len >= HEADER ? last_record(p, len, &end) : 0;
    if (len < HEADER || (begins == 0 && get16(p + 10) > 0)) {
        return hf_fail(err, HF_E_CORRUPT, "the server's answer is not a whole DNS message");
    }
    size_t at = begins > 0 ? skip_name(p, len, begins) : 0;
    if (at == 0 || get16(p + at) != TYPE_TSIG) {
        static const char *const NAMES[] = {"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN",
                                            "NOTIMP",  "REFUSED", "YXDOMAIN", "YXRRSET",
                                            "NXRRSET", "NOTAUTH", "NOTZONE"};
        size_t rcode = p[3] & 15;
        return hf_fail(err, HF_E_DENIED, "%s, and the server's answer is not signed",
                       rcode < sizeof NAMES / sizeof NAMES[0] ? NAMES[rcode] : "an error");
    }
    struct signature s = {.begins = begins, .name = p + begins, .name_len = at - begins};
    size_t data = at + RR_FIXED;
    at = skip_name(p, end, data);
    if (at == 0 || end - at < 16) {
        return hf_fail(err, HF_E_CORRUPT, "the answer's signature is not whole");
    }
    s.algorithm = p + data;
    s.algorithm_len = at - data;
    s.v.time_s = get48(p + at);
    s.v.fudge = get16(p + at + 6);
    s.mac_len = get16(p + at + 8);
    s.mac = p + at + 10;
    at += 10 + s.mac_len;
    if (at > end || end - at < 6) {
        return hf_fail(err, HF_E_CORRUPT, "the answer's signature is not whole");
    }
    s.original_id = p + at;
    s.v.error = get16(p + at + 2);
    s.v.other_len = get16(p + at + 4);
    s.v.other = p + at + 6;
    if (s.v.other_len != end - at - 6) {
        return hf_fail(err, HF_E_CORRUPT, "the answer's signature is not whole");
    }
    *ret = s;
    return hf_done();
}

static bool same_name(const uint8_t *wire, size_t len, const char *text)
{
    uint8_t own[HF_TSIG_NAME_SIZE];
    size_t n = wire_name(text, own);
    if (n != len) { /* also a compressed one: RFC 8945 does not allow it here */
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (tolower(wire[i]) != own[i]) {
            return false;
        }
    }
    return true;
}

/* Errors that the server does not sign, because it cannot: they are no proof, but end the try. */
static hf_result check_unsigned(const struct hf_tsig_key *key, const struct signature *s,
                                struct hf_err *err)
{
    switch (s->v.error) {
    case BADSIG:
        return hf_fail(err, HF_E_DENIED,
                       "BADSIG: the server has another secret or algorithm for key %s", key->name);
    case BADKEY:
        return hf_fail(
            err, HF_E_DENIED,
            "BADKEY: the server does not know key %s with %s, or does not let it do this",
            key->name, ALGORITHMS[key->algorithm]);
    default:
        return hf_done();
    }
}

static hf_result check_time(const struct signature *s, int64_t now_s, struct hf_err *err)
{
    if (s->v.error == BADTIME && s->v.other_len == 6) {
        return hf_fail(err, HF_E_DENIED,
                       "BADTIME: the server's clock is %" PRId64 " s from ours, allowed: %d s",
                       (int64_t)get48(s->v.other) - now_s, (int)HF_TSIG_FUDGE_S);
    }
    if (s->v.error != 0) {
        return hf_fail(err, HF_E_DENIED, "the server refuses the signature (TSIG error %u%s)",
                       s->v.error, s->v.error == BADTRUNC ? ", BADTRUNC" : "");
    }
    int64_t off = (int64_t)s->v.time_s - now_s;
    if (off > HF_TSIG_FUDGE_S || off < -HF_TSIG_FUDGE_S) {
        return hf_fail(err, HF_E_DENIED,
                       "the answer was signed %" PRId64 " s from now, allowed: %d s", off,
                       (int)HF_TSIG_FUDGE_S);
    }
    return hf_done();
}

hf_result hf_tsig_verify(const struct hf_tsig_key *key, const struct hf_tsig_mac *question,
                         int64_t now_s, uint8_t *packet, size_t *len, struct hf_err *err)
{
    struct signature s;
    struct hf_tsig_mac mac;
    HF_TRY(find_signature(packet, *len, &s, err));
    HF_TRY(check_unsigned(key, &s, err));
    if (!same_name(s.name, s.name_len, key->name) ||
        !same_name(s.algorithm, s.algorithm_len, ALGORITHMS[key->algorithm])) {
        return hf_fail(err, HF_E_DENIED, "the answer is signed with another key or algorithm");
    }
    uint8_t id[2];
    memcpy(id, packet, sizeof id);
    memcpy(packet, s.original_id, sizeof id);
    put16(packet + 10, get16(packet + 10) - 1);
    HF_TRY(digest(key, question, packet, s.begins, &s.v, &mac, err));
    memcpy(packet, id, sizeof id);
    if (s.mac_len != mac.len || !hf_crypto_equal(s.mac, mac.bytes, mac.len)) {
        return hf_fail(err, HF_E_DENIED, "the answer's signature is wrong");
    }
    HF_TRY(check_time(&s, now_s, err));
    *len = s.begins;
    return hf_done();
}
