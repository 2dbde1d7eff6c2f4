/* SPDX-License-Identifier: Apache-2.0
 *
 * Signed messages and dynamic updates as bytes: keys as files have them, what is signed, which
 * answers count, what an update asks the server to compare.
 */
#include "dns_peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/hex.h"
#include "common/base/mem.h"
#include "common/io/log.h"
#include "coordinator/route/dns_update.h"
#include "coordinator/route/tsig.h"

static const int64_t NOW = 1700000000;

static void peer_key(struct hf_tsig_key *key)
{
    *key = (struct hf_tsig_key){.algorithm = HF_TSIG_SHA256, .name = "k.test"};
    hf_secret_set(&key->secret, PEER_SECRET, sizeof PEER_SECRET - 1);
}

static void key_texts(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *name; /* NULL: refused */
        enum hf_tsig_algorithm algorithm;
        const char *message;
    } cases[] = {
        {"hmac-sha256:ddns:c2VjcmV0LXNlY3JldA==", "ddns", HF_TSIG_SHA256, NULL},
        {"hmac-sha512:Ddns.Example.:c2VjcmV0LXNlY3JldA==\n", "ddns.example", HF_TSIG_SHA512, NULL},
        {"ddns:c2VjcmV0LXNlY3JldA==", "ddns", HF_TSIG_SHA256, NULL},
        {"# made by hand\nddns:c2VjcmV0LXNlY3JldA==\n", "ddns", HF_TSIG_SHA256, NULL},
        {"key \"a.b\" {\n\talgorithm hmac-sha512;\n\tsecret \"c2VjcmV0LXNlY3JldA==\";\n};\n", "a.b",
         HF_TSIG_SHA512, NULL},
        {"// comment\nkey a { secret \"c2VjcmV0LXNlY3JldA==\"; };", "a", HF_TSIG_SHA256, NULL},
        {"hmac-md5:ddns:c2VjcmV0LXNlY3JldA==", NULL, 0, "allowed: hmac-sha256, hmac-sha512"},
        {"hmac-sha256:ddns:geheim!", NULL, 0, "not base64"},
        {"ddns:c2Vj", NULL, 0, "not base64"},
        {"ddns", NULL, 0, "neither"},
        {"", NULL, 0, "neither"},
        {"a:c2VjcmV0LXNlY3JldA==\nb:c2VjcmV0LXNlY3JldA==", NULL, 0, "more than one line"},
        {"a..b:c2VjcmV0LXNlY3JldA==", NULL, 0, "not a DNS name"},
        {"a b:c2VjcmV0LXNlY3JldA==", NULL, 0, "more than one line"},
        {"key \"a\" { secret \"c2VjcmV0LXNlY3JldA==; };", NULL, 0, "not closed"},
        {"key \"a\" { secret \"c2VjcmV0LXNlY3JldA==\"; ", NULL, 0, "unknown statement"},
        {"key \"a\" { algorithm hmac-sha256; };", NULL, 0, "no secret"},
        {"key \"a\" { geheim c2VjcmV0LXNlY3JldA==; };", NULL, 0, "unknown statement"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        HF_AUTOTSIG struct hf_tsig_key key = {.algorithm = HF_TSIG_SHA256};
        struct hf_err err = {.code = HF_OK};
        hf_result r = hf_tsig_key_parse(cases[i].text, &key, &err);
        if (cases[i].name != NULL) {
            if (!hf_ok(r)) {
                fail_msg("%s: %s", cases[i].text, err.text);
            }
            assert_string_equal(key.name, cases[i].name);
            assert_int_equal(key.algorithm, cases[i].algorithm);
            assert_string_equal(hf_secret_text(&key.secret), "secret-secret");
        } else if (hf_ok(r) || strstr(err.text, cases[i].message) == NULL) {
            fail_msg("%s: %s", cases[i].text, err.text);
        }
        assert_null(strstr(err.text, "geheim"));
        assert_null(strstr(err.text, "c2Vj"));
    }
}

static void a_key_file_that_others_can_read_is_refused(void **state)
{
    (void)state;
    char path[] = "/tmp/hf-tsig-XXXXXX";
    struct hf_err err;
    HF_AUTOTSIG struct hf_tsig_key key = {.algorithm = HF_TSIG_SHA256};
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, "k:c2VjcmV0LXNlY3JldA==\n", 23) == 23);
    assert_int_equal(fchmod(fd, 0644), 0);
    assert_int_equal(hf_tsig_key_read(path, &key, &err).code, HF_E_DENIED);
    assert_int_equal(fchmod(fd, 0600), 0);
    assert_true(hf_ok(hf_tsig_key_read(path, &key, &err)));
    assert_int_equal(close(fd), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(hf_tsig_key_read(path, &key, &err).code, HF_E_NOT_FOUND);
}

static size_t question(const struct hf_tsig_key *key, uint8_t *ret, size_t size,
                       struct hf_tsig_mac *mac)
{
    size_t len = 0;
    assert_true(hf_ok(hf_dns_build("db.hf.test.", HF_ROUTE_A, 0x1234, ret, size, &len, NULL)));
    assert_true(hf_ok(hf_tsig_sign(key, NOW, ret, size, &len, mac, NULL)));
    return len;
}

/* The same message signed by another program (hmac and struct of Python's library). */
static void signs_as_others_do(void **state)
{
    (void)state;
    HF_AUTOTSIG struct hf_tsig_key key;
    uint8_t packet[2048];
    char hex[2 * 512 + 1];
    struct hf_tsig_mac mac;
    peer_key(&key);
    size_t len = question(&key, packet, sizeof packet, &mac);
    assert_int_equal(packet[11], 1);
    hf_hex_encode(mac.bytes, mac.len, hex);
    assert_string_equal(hex, "5753f4d9c8ceac974223f888b7707bee866b050b9beea61fe063599f26b8f018");
    hf_hex_encode(packet, len, hex);
    assert_string_equal(hex,
                        "12340000000100000000000102646202686604746573740000010001016b04746573740000"
                        "fa00ff00000000003d0b686d61632d7368613235360000006553f100012c00205753f4d9c8"
                        "ceac974223f888b7707bee866b050b9beea61fe063599f26b8f018123400000000");
    key.algorithm = HF_TSIG_SHA512;
    (void)question(&key, packet, sizeof packet, &mac);
    hf_hex_encode(mac.bytes, mac.len, hex);
    assert_string_equal(hex, "753eb48265918a24f9aea5f29dae9b2b2824075c875f1937ed199fc407184c29da9f2"
                             "9498c64d371e3c3f570128684d4e9892479edca6e94c18c99226fc4dce2");
}

static void answers_count_only_when_signed_for_the_question(void **state)
{
    (void)state;
    static const struct {
        struct peer_answer answer;
        enum hf_code code;
        const char *message;
    } cases[] = {
        {{.time_s = 1700000000}, HF_OK, NULL},
        {{.time_s = 1700000300}, HF_OK, NULL},
        {{.time_s = 1700000301}, HF_E_DENIED, "signed 301 s from now"},
        {{.time_s = 1699999699}, HF_E_DENIED, "signed -301 s from now"},
        {{.time_s = 1700000000, .wrong_mac = true}, HF_E_DENIED, "signature is wrong"},
        {{.time_s = 1700000000, .no_mac = true}, HF_E_DENIED, "signature is wrong"},
        {{.no_tsig = true, .rcode = 5}, HF_E_DENIED, "REFUSED, and the server's answer is not"},
        {{.no_tsig = true}, HF_E_DENIED, "NOERROR, and the server's answer is not signed"},
        {{.rcode = 9, .tsig_error = 16, .no_mac = true}, HF_E_DENIED, "BADSIG"},
        {{.rcode = 9, .tsig_error = 17, .no_mac = true}, HF_E_DENIED, "BADKEY"},
        {{.rcode = 9, .tsig_error = 18, .time_s = 1700000000, .other_time_s = 1700001000},
         HF_E_DENIED,
         "BADTIME: the server's clock is 1000 s from ours"},
        {{.rcode = 9, .tsig_error = 22, .time_s = 1700000000}, HF_E_DENIED, "BADTRUNC"},
    };
    HF_AUTOTSIG struct hf_tsig_key key;
    peer_key(&key);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t packet[2048];
        uint8_t answer[2048];
        struct hf_tsig_mac mac;
        struct hf_err err = {.code = HF_OK};
        size_t len = question(&key, packet, sizeof packet, &mac);
        size_t n = peer_reply(answer, packet, len, &cases[i].answer);
        hf_result r = hf_tsig_verify(&key, &mac, NOW, answer, &n, &err);
        if (r.code != cases[i].code ||
            (cases[i].message != NULL && strstr(err.text, cases[i].message) == NULL)) {
            fail_msg("case %zu: %s", i, err.text);
        }
        if (hf_ok(r)) {
            assert_int_equal(n, 12);
            assert_int_equal(answer[11], 0);
        }
    }
}

static void nothing_is_read_past_the_end(void **state)
{
    (void)state;
    HF_AUTOTSIG struct hf_tsig_key key;
    uint8_t packet[2048];
    uint8_t answer[2048];
    struct hf_tsig_mac mac;
    const struct peer_answer good = {.time_s = NOW};
    peer_key(&key);
    size_t len = question(&key, packet, sizeof packet, &mac);
    size_t whole = peer_reply(answer, packet, len, &good);
    for (size_t cut = 0; cut < whole; cut++) { /* a copy of its own: the sanitizer sees its end */
        HF_AUTOFREE uint8_t *copy = hf_alloc(cut + 1);
        size_t n = cut;
        memcpy(copy, answer, cut);
        assert_false(hf_ok(hf_tsig_verify(&key, &mac, NOW, copy, &n, NULL)));
    }
    for (size_t i = 0; i < whole; i++) { /* every byte counts, the id of the header excepted */
        HF_AUTOFREE uint8_t *copy = hf_alloc(whole);
        size_t n = whole;
        memcpy(copy, answer, whole);
        copy[i] ^= 0x20;
        bool case_of_name = i >= 12 && i < 12 + sizeof PEER_NAME + 10 + sizeof PEER_ALGORITHM;
        hf_result r = hf_tsig_verify(&key, &mac, NOW, copy, &n, NULL);
        assert_true(!hf_ok(r) || i < 2 || case_of_name);
    }
}

static void record_of(enum hf_route_type type, const char *value, struct hf_route_record *ret)
{
    *ret = (struct hf_route_record){.type = type, .ttl = HF_SEC(2)};
    (void)snprintf(ret->name, sizeof ret->name, "db.hf.test.");
    (void)snprintf(ret->value, sizeof ret->value, "%s", value);
}

static unsigned count_at(const uint8_t *p, int section)
{
    return peer_get16(p + 4 + 2 * section);
}

/* Whether the message has these bytes; the name before them may be compressed. */
static bool holds(const uint8_t *p, size_t len, const char *bytes, size_t n)
{
    return memmem(p, len, bytes, n) != NULL;
}
#define HOLDS(bytes) holds(packet, len, bytes, sizeof(bytes) - 1)

static void an_update_compares_with_what_was_read(void **state)
{
    (void)state;
    uint8_t packet[HF_DNS_UPDATE_MAX];
    size_t len = 0;
    struct hf_route_record record;
    struct hf_route_seen seen = {.count = 0};
    record_of(HF_ROUTE_A, "127.0.2.1", &record);
    assert_true(hf_ok(
        hf_dns_update_build("hf.test.", &record, &seen, 7, packet, sizeof packet, &len, NULL)));
    assert_int_equal((packet[2] >> 3) & 15, 5); /* UPDATE */
    assert_int_equal(count_at(packet, 0), 1);
    assert_int_equal(count_at(packet, 1), 1);
    assert_int_equal(count_at(packet, 2), 2);
    assert_int_equal(count_at(packet, 3), 0);
    assert_true(HOLDS("\0\6\0\1"));                       /* zone: SOA, IN */
    assert_true(HOLDS("\0\1\0\376\0\0\0\0\0\0"));         /* no A: class NONE, TTL 0, no data */
    assert_true(HOLDS("\0\1\0\377\0\0\0\0\0\0"));         /* delete all A: class ANY */
    assert_true(HOLDS("\0\1\0\1\0\0\0\2\0\4\177\0\2\1")); /* add A, IN, TTL 2 */

    seen = (struct hf_route_seen){.count = 2, .values = {"127.0.1.1", "127.0.3.1"}};
    assert_true(hf_ok(
        hf_dns_update_build("hf.test.", &record, &seen, 7, packet, sizeof packet, &len, NULL)));
    assert_int_equal(count_at(packet, 1), 2);
    assert_true(HOLDS("\0\1\0\1\0\0\0\0\0\4\177\0\1\1")); /* these A, IN, TTL 0 */
    assert_true(HOLDS("\0\1\0\1\0\0\0\0\0\4\177\0\3\1"));

    record_of(HF_ROUTE_CNAME, "node.hf.test.", &record);
    seen = (struct hf_route_seen){.count = 0};
    assert_true(hf_ok(
        hf_dns_update_build("hf.test.", &record, &seen, 7, packet, sizeof packet, &len, NULL)));
    assert_true(HOLDS("\0\377\0\376\0\0\0\0\0\0")); /* the name is not used at all */
}

static void an_update_that_makes_no_sense_is_not_built(void **state)
{
    (void)state;
    uint8_t packet[HF_DNS_UPDATE_MAX];
    size_t len = 0;
    struct hf_route_record record;
    struct hf_route_seen seen = {.count = HF_ROUTE_VALUES + 1};
    record_of(HF_ROUTE_A, "127.0.2.1", &record);
    assert_int_equal(
        hf_dns_update_build("hf.test.", &record, &seen, 7, packet, sizeof packet, &len, NULL).code,
        HF_E_REFUSED);
    seen.count = 0;
    assert_int_equal(
        hf_dns_update_build("hf..test.", &record, &seen, 7, packet, sizeof packet, &len, NULL).code,
        HF_E_INVALID);
    record_of(HF_ROUTE_A, "a name", &record);
    assert_int_equal(
        hf_dns_update_build("hf.test.", &record, &seen, 7, packet, sizeof packet, &len, NULL).code,
        HF_E_INVALID);
    record_of(HF_ROUTE_A, "127.0.2.1", &record);
    assert_int_equal(
        hf_dns_update_build("hf.test.", &record, &seen, 7, packet, 20, &len, NULL).code,
        HF_E_INVALID);
}

static void every_response_code_has_its_meaning(void **state)
{
    (void)state;
    static const struct {
        unsigned rcode;
        enum hf_code code;
        const char *message;
    } cases[] = {
        {0, HF_OK, ""},
        {1, HF_E_REFUSED, "FORMERR"},
        {2, HF_E_AGAIN, "SERVFAIL"},
        {3, HF_E_CONFLICT, "NXDOMAIN"},
        {4, HF_E_REFUSED, "NOTIMP"},
        {5, HF_E_DENIED, "REFUSED"},
        {6, HF_E_CONFLICT, "YXDOMAIN"},
        {7, HF_E_CONFLICT, "YXRRSET"},
        {8, HF_E_CONFLICT, "NXRRSET"},
        {9, HF_E_NOT_FOUND, "NOTAUTH"},
        {10, HF_E_NOT_FOUND, "NOTZONE"},
        {11, HF_E_REFUSED, "response code 11"},
    };
    struct hf_route_record record;
    record_of(HF_ROUTE_A, "127.0.2.1", &record);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t packet[12] = {0x12, 0x34, 0xa8, (uint8_t)cases[i].rcode};
        struct hf_err err = {.text = ""};
        hf_result r = hf_dns_update_parse(packet, sizeof packet, 0x1234, &record, &err);
        if (r.code != cases[i].code || strstr(err.text, cases[i].message) == NULL) {
            fail_msg("response code %u: %s", cases[i].rcode, err.text);
        }
    }
    uint8_t packet[12] = {0x12, 0x34, 0xa8};
    assert_int_equal(hf_dns_update_parse(packet, 12, 0x1235, &record, NULL).code, HF_E_STALE);
    assert_int_equal(hf_dns_update_parse(packet, 11, 0x1234, &record, NULL).code, HF_E_CORRUPT);
    packet[2] = 0x80; /* a question's answer, not an update's */
    assert_int_equal(hf_dns_update_parse(packet, 12, 0x1234, &record, NULL).code, HF_E_STALE);
    packet[2] = 0x28; /* the update itself */
    assert_int_equal(hf_dns_update_parse(packet, 12, 0x1234, &record, NULL).code, HF_E_STALE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(key_texts),
        cmocka_unit_test(a_key_file_that_others_can_read_is_refused),
        cmocka_unit_test(signs_as_others_do),
        cmocka_unit_test(answers_count_only_when_signed_for_the_question),
        cmocka_unit_test(nothing_is_read_past_the_end),
        cmocka_unit_test(an_update_compares_with_what_was_read),
        cmocka_unit_test(an_update_that_makes_no_sense_is_not_built),
        cmocka_unit_test(every_response_code_has_its_meaning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
