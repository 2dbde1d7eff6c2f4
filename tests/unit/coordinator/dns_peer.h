/* SPDX-License-Identifier: Apache-2.0
 *
 * A name server's side of signed messages, written out by hand so that it shares nothing with what
 * it tests besides the HMAC: answers to a question, signed over that question's MAC.
 * Invariant: it takes questions with one TSIG record at their end only, as the client makes them.
 */
#ifndef HF_TEST_DNS_PEER_H
#define HF_TEST_DNS_PEER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "common/io/crypto.h"

static const char PEER_SECRET[] = "0123456789abcdef0123456789abcdef";
/* key "k.test", as in wire form; the algorithm's name */
static const uint8_t PEER_NAME[] = "\001k\004test";
static const uint8_t PEER_ALGORITHM[] = "\013hmac-sha256";

struct peer_answer {
    unsigned rcode;
    unsigned tsig_error;
    int64_t time_s;
    int64_t other_time_s; /* != 0: as other data, for BADTIME */
    bool no_tsig;
    bool no_mac;
    bool wrong_mac;
};

static size_t peer_put(uint8_t *at, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        at[i] = (uint8_t)(v >> (8 * (n - 1 - i)));
    }
    return n;
}

static unsigned peer_get16(const uint8_t *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

/* The MAC of a question: the 32 bytes before its original id, error and empty other data. */
static const uint8_t *peer_mac_of(const uint8_t *question, size_t len)
{
    assert_true(len > 12 + 38);
    assert_int_equal(peer_get16(question + len - 6 - 34), 32);
    return question + len - 6 - 32;
}

/* Turns message (an answer without TSIG, with its header) into a signed one; returns its length. */
static inline size_t peer_sign(uint8_t *message, size_t len, const uint8_t *question,
                               size_t question_len, const struct peer_answer *a)
{
    uint8_t text[4096];
    size_t n = peer_put(text, 32, 2);
    uint8_t other[6];
    size_t other_len = a->other_time_s != 0 ? peer_put(other, (uint64_t)a->other_time_s, 6) : 0;
    memcpy(text + n, peer_mac_of(question, question_len), 32);
    n += 32;
    memcpy(text + n, message, len);
    n += len;
    memcpy(text + n, PEER_NAME, sizeof PEER_NAME);
    n += sizeof PEER_NAME;
    n += peer_put(text + n, 255, 2);
    n += peer_put(text + n, 0, 4);
    memcpy(text + n, PEER_ALGORITHM, sizeof PEER_ALGORITHM);
    n += sizeof PEER_ALGORITHM;
    n += peer_put(text + n, (uint64_t)a->time_s, 6);
    n += peer_put(text + n, 300, 2);
    n += peer_put(text + n, a->tsig_error, 2);
    n += peer_put(text + n, other_len, 2);
    memcpy(text + n, other, other_len);
    n += other_len;
    uint8_t mac[HF_SHA256_SIZE];
    hf_hmac_sha256(PEER_SECRET, sizeof PEER_SECRET - 1, text, n, mac);
    mac[0] ^= a->wrong_mac ? 1 : 0;

    size_t mac_len = a->no_mac ? 0 : sizeof mac;
    memcpy(message + len, PEER_NAME, sizeof PEER_NAME);
    len += sizeof PEER_NAME;
    len += peer_put(message + len, 250, 2);
    len += peer_put(message + len, 255, 2);
    len += peer_put(message + len, 0, 4);
    len += peer_put(message + len, sizeof PEER_ALGORITHM + 16 + mac_len + other_len, 2);
    memcpy(message + len, PEER_ALGORITHM, sizeof PEER_ALGORITHM);
    len += sizeof PEER_ALGORITHM;
    len += peer_put(message + len, (uint64_t)a->time_s, 6);
    len += peer_put(message + len, 300, 2);
    len += peer_put(message + len, mac_len, 2);
    memcpy(message + len, mac, mac_len);
    len += mac_len;
    memcpy(message + len, message, 2);
    len += 2;
    len += peer_put(message + len, a->tsig_error, 2);
    len += peer_put(message + len, other_len, 2);
    memcpy(message + len, other, other_len);
    len += other_len;
    message[11]++;
    return len;
}

/* An answer without records to an update or a question. */
static inline size_t peer_reply(uint8_t *ret, const uint8_t *question, size_t len,
                                const struct peer_answer *a)
{
    memset(ret, 0, 12);
    memcpy(ret, question, 3);
    ret[2] = (uint8_t)(ret[2] | 0x84); /* QR, AA; for an update AA means nothing */
    ret[3] = (uint8_t)a->rcode;
    return a->no_tsig ? 12 : peer_sign(ret, 12, question, len, a);
}

#endif
