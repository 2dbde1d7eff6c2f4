/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io/http.h"

#include "common/base/mem.h"
#include "common/io/fault.h"
#include "common/io/http_internal.h"

#include <curl/curl.h>
#include <pthread.h>
#include <string.h>

enum { CALLS_MAX = 256, RESPONSE_DEFAULT = 1048576 };

struct hf_http_client {
    struct hf_loop *loop;
    CURLM *multi;
    struct hf_timer *timer;  /* curl's own */
    struct hf_timer *finish; /* ends calls outside curl */
    struct hf_http_call *calls;
    int count;
    int max_calls;
    bool in_curl; /* curl is on the stack: no handle may be removed */
    bool in_done;
};

struct socket_watch {
    struct hf_http_client *client;
    struct hf_watch *watch;
};

static void global_init(void)
{
    HF_ASSERT(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
    hf_tls_system_load();
}

static void call_free(struct hf_http_call *call)
{
    struct hf_http_client *client = call->client;
    if (call->easy != NULL) {
        curl_multi_remove_handle(client->multi, call->easy);
        curl_easy_cleanup(call->easy);
    }
    curl_slist_free_all(call->headers);
    hf_timer_free(call->stall);
    hf_buf_free(&call->response);
    hf_free(call->url);
    hf_free(call->body);
    hf_free(call->ca);
    hf_free(call->certificate);
    hf_free(call->key);
    hf_free(call);
}

static void call_unlink(struct hf_http_call *call)
{
    struct hf_http_client *client = call->client;
    if (call->prev != NULL) {
        call->prev->next = call->next;
    } else {
        client->calls = call->next;
    }
    if (call->next != NULL) {
        call->next->prev = call->prev;
    }
    client->count--;
}

static void call_finish(struct hf_http_call *call, CURLcode code)
{
    struct hf_err err = {0};
    hf_result result = call->failed ? hf_fail(&err, HF_E_UNREACHABLE, "fault point http.send")
                                    : hf_http_call_result(call, (int)code, &err);
    long status = 0;
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    struct hf_http_response response = {.result = result,
                                        .err = &err,
                                        .status = (int)status,
                                        .body = hf_buf_text(&call->response),
                                        .len = call->response.len};
    call_unlink(call);
    call->done(call->arg, &response);
    call_free(call);
}

/* Outside curl: removes cancelled calls, ends failed ones, reports those that are complete. */
static void settle(struct hf_http_client *client)
{
    if (client->in_curl || client->in_done) {
        return;
    }
    client->in_done = true;
    struct hf_http_call *next;
    for (struct hf_http_call *call = client->calls; call != NULL; call = next) {
        next = call->next;
        if (call->cancelled) {
            call_unlink(call);
            call_free(call);
        }
    }
    for (;;) {
        struct hf_http_call *ended = NULL;
        CURLcode code = CURLE_OK;
        int left;
        CURLMsg *message = curl_multi_info_read(client->multi, &left);
        if (message != NULL && message->msg == CURLMSG_DONE) {
            char *private = NULL;
            code = message->data.result;
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
            ended = (struct hf_http_call *)(void *)private;
        }
        for (struct hf_http_call *c = client->calls; c != NULL && ended == NULL; c = c->next) {
            if (c->failed || c->stalled) {
                ended = c;
                code = CURLE_OPERATION_TIMEDOUT;
            }
        }
        if (ended == NULL) {
            break;
        }
        if (ended->cancelled) {
            call_unlink(ended);
            call_free(ended);
        } else {
            call_finish(ended, code);
        }
    }
    client->in_done = false;
}

static void act(struct hf_http_client *client, curl_socket_t fd, int mask)
{
    int running;
    client->in_curl = true;
    curl_multi_socket_action(client->multi, fd, mask, &running);
    client->in_curl = false;
    settle(client);
}

static void on_timer(void *arg)
{
    act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static void on_finish(void *arg)
{
    settle(arg);
}

static void on_socket(void *arg, int fd, unsigned events)
{
    int mask = ((events & HF_LOOP_READ) ? CURL_CSELECT_IN : 0) |
               ((events & HF_LOOP_WRITE) ? CURL_CSELECT_OUT : 0) |
               ((events & HF_LOOP_HANGUP) ? CURL_CSELECT_ERR : 0);
    act(((struct socket_watch *)arg)->client, fd, mask);
}

static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *client_arg, void *socket_arg)
{
    struct hf_http_client *client = client_arg;
    struct socket_watch *s = socket_arg;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (s != NULL) {
            hf_loop_unwatch(s->watch);
            hf_free(s);
            curl_multi_assign(client->multi, fd, NULL);
        }
        return 0;
    }
    unsigned events =
        ((what & CURL_POLL_IN) ? HF_LOOP_READ : 0u) | ((what & CURL_POLL_OUT) ? HF_LOOP_WRITE : 0u);
    if (s != NULL) {
        hf_loop_modify(s->watch, events);
        return 0;
    }
    s = hf_alloc(sizeof(*s));
    s->client = client;
    if (!hf_ok(hf_loop_watch(client->loop, fd, events, on_socket, s, &s->watch, NULL))) {
        hf_free(s);
        return -1;
    }
    curl_multi_assign(client->multi, fd, s);
    return 0;
}

static int set_timer(CURLM *multi, long timeout_ms, void *arg)
{
    struct hf_http_client *client = arg;
    (void)multi;
    if (timeout_ms < 0) {
        hf_timer_cancel(client->timer);
    } else {
        hf_timer_after(client->timer, HF_MS(timeout_ms));
    }
    return 0;
}

hf_result hf_http_client_new(struct hf_loop *loop, int max_calls, struct hf_http_client **ret,
                             struct hf_err *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, global_init);
    if (max_calls < 1 || max_calls > CALLS_MAX) {
        return hf_fail(err, HF_E_INVALID, "%d calls at once: allowed are 1 to %d", max_calls,
                       CALLS_MAX);
    }
    struct hf_http_client *client = hf_alloc(sizeof(*client));
    client->loop = loop;
    client->max_calls = max_calls;
    client->multi = curl_multi_init();
    HF_ASSERT(client->multi != NULL);
    client->timer = hf_timer_new(loop, on_timer, client);
    client->finish = hf_timer_new(loop, on_finish, client);
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, set_timer);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, 32L);
    *ret = client;
    return hf_done();
}

void hf_http_client_free(struct hf_http_client *client)
{
    if (client == NULL) {
        return;
    }
    HF_ASSERT(!client->in_curl && !client->in_done);
    while (client->calls != NULL) {
        struct hf_http_call *call = client->calls;
        call_unlink(call);
        call_free(call);
    }
    curl_multi_cleanup(client->multi);
    hf_timer_free(client->timer);
    hf_timer_free(client->finish);
    hf_free(client);
}

static void on_stall(void *arg)
{
    struct hf_http_call *call = arg;
    call->stalled = true;
    settle(call->client);
}

static char *copy(const char *text)
{
    return text == NULL ? NULL : hf_strdup(text);
}

static struct hf_http_call *call_new(struct hf_http_client *client,
                                     const struct hf_http_client_request *request)
{
    struct hf_http_call *call = hf_alloc(sizeof(*call));
    call->client = client;
    call->url = hf_strdup(request->url);
    call->body = hf_alloc(request->body_len + 1);
    if (request->body_len > 0) {
        memcpy(call->body, request->body, request->body_len);
    }
    if (request->tls != NULL) {
        call->ca = copy(request->tls->ca);
        call->certificate = copy(request->tls->certificate);
        call->key = copy(request->tls->key);
    }
    call->response =
        HF_BUF_INIT(request->max_response == 0 ? RESPONSE_DEFAULT : request->max_response);
    call->stream = request->chunk != NULL;
    call->chunk = request->chunk;
    call->done = request->done;
    call->arg = request->arg;
    call->stall_timeout = request->stall_timeout;
    return call;
}

hf_result hf_http_client_start(struct hf_http_client *client,
                               const struct hf_http_client_request *request,
                               struct hf_http_call **ret, struct hf_err *err)
{
    HF_ASSERT(request->done != NULL && request->url != NULL);
    if (client->count >= client->max_calls) {
        return hf_fail(err, HF_E_LIMIT, "%d HTTP calls are under way", client->max_calls);
    }
    struct hf_http_call *call = call_new(client, request);
    hf_result r = hf_http_call_setup(call, request, err);
    if (!hf_ok(r)) {
        call_free(call);
        return r;
    }
    call->next = client->calls;
    if (call->next != NULL) {
        call->next->prev = call;
    }
    client->calls = call;
    client->count++;
    call->failed = HF_FAULT_HIT("http.send");
    if (call->failed) {
        hf_timer_after(client->finish, HF_US(0));
    } else {
        HF_ASSERT(curl_multi_add_handle(client->multi, call->easy) == CURLM_OK);
    }
    if (call->stream && call->stall_timeout.us > 0) {
        call->stall = hf_timer_new(client->loop, on_stall, call);
        hf_timer_after(call->stall, call->stall_timeout);
    }
    *ret = call;
    return hf_done();
}

void hf_http_call_cancel(struct hf_http_call *call)
{
    if (call == NULL) {
        return;
    }
    if (call->client->in_curl || call->client->in_done) {
        call->cancelled = true;
        hf_timer_after(call->client->finish, HF_US(0));
        return;
    }
    call_unlink(call);
    call_free(call);
}
