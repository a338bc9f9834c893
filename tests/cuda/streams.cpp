// The stand-in's streams, events and graphs.
//
// A stream is a list of operations, done in their order on the thread that asks. Usually that is at
// once; but a stream may be told to be late, and then does nothing before somebody waits for it. So
// a wait that was forgotten shows in the numbers, in the one or the other:
//   LATE=12     the first and the second stream, in the order they were made, do each operation as late as they may; or LATE=1, LATE=2
//   DEAF=k      to see that this finds what it should: the k-th stream does not wait for events, or with 0 the CPU does not
#include "driver.h"

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace stand_in {

typedef std::chrono::steady_clock Clock;
typedef std::vector<std::function<int()>> Graph;

struct Stream {
    size_t number;
    Graph* capturing = nullptr;
    std::deque<std::function<int()>> waiting;
    size_t asked = 0, done = 0;     // operations
};

// What an event stands for: that its stream has done so many operations. When, is known once they
// are done.
struct Event {
    Stream* stream = nullptr;
    size_t operations = 0;
    std::shared_ptr<Clock::time_point> time = std::make_shared<Clock::time_point>(Clock::now());
};

// Held while anything is asked for or done; a wait within an operation asks for more.
static std::recursive_mutex lock;
static std::vector<Stream*> streams;
static Stream null_stream{0};
static int broken = 0, captures = 0;

static int until(Stream* stream, size_t operations) {
    while (!broken && stream->done < operations) {
        auto operation = std::move(stream->waiting.front());
        stream->waiting.pop_front();
        broken = operation();
        stream->done++;
    }
    return broken;
}

static int ask(Stream* stream, std::function<int()> operation) {
    static const char* late = getenv("WAVEMIX_STAND_IN_LATE");
    if (broken) return broken;
    stream->waiting.push_back(std::move(operation));
    stream->asked++;
    return late && strchr(late, '0' + (char)stream->number) ? 0 : until(stream, stream->asked);
}

static Stream* of(void* stream) { return stream ? (Stream*)stream : &null_stream; }

int submit(void* stream, std::function<int()> operation) {
    std::lock_guard<std::recursive_mutex> guard(lock);
    Stream* s = of(stream);
    if (!s->capturing) return ask(s, std::move(operation));
    return s->capturing->push_back(std::move(operation)), broken;
}

int state() {
    std::lock_guard<std::recursive_mutex> guard(lock);
    return broken ? broken : captures ? CAPTURE_UNSUPPORTED : 0;
}

static bool deaf(size_t number) {
    static size_t k = setting("DEAF", ~(size_t)0);
    return k == number;
}

}  // namespace stand_in

using namespace stand_in;
#define ALONE std::lock_guard<std::recursive_mutex> guard(lock)

API cuCtxSynchronize() {
    ALONE;
    if (captures) return CAPTURE_UNSUPPORTED;
    for (Stream* stream : streams) until(stream, stream->asked);
    return broken;
}
API cuStreamCreate(void** out, unsigned) {
    ALONE;
    streams.push_back(new Stream{streams.size() + 1});
    return *out = streams.back(), 0;
}
API cuStreamCreateWithPriority(void** out, unsigned flags, int) { return cuStreamCreate(out, flags); }
// What it was asked for is still done; so it stays.
API cuStreamDestroy_v2(void*) { return 0; }
API cuStreamSynchronize(void* stream) {
    ALONE;
    return of(stream)->capturing ? CAPTURE_UNSUPPORTED : until(of(stream), of(stream)->asked);
}
API cuStreamWaitEvent(void* stream, void* event, unsigned) {
    ALONE;
    Event now = *(Event*)event;
    if (of(stream)->capturing) return CAPTURE_UNSUPPORTED;
    if (!now.stream || deaf(of(stream)->number)) return broken;
    return ask(of(stream), [=] { return until(now.stream, now.operations); });
}
API cuStreamIsCapturing(void* stream, int* status) { return *status = of(stream)->capturing != nullptr, 0; }
API cuStreamBeginCapture_v2(void* stream, int) {
    ALONE;
    if (!stream || of(stream)->capturing) return CAPTURE_UNSUPPORTED;
    captures++;
    return of(stream)->capturing = new Graph, 0;
}
API cuStreamEndCapture(void* stream, void** graph) {
    ALONE;
    if (!of(stream)->capturing) return CAPTURE_UNSUPPORTED;
    captures--;
    *graph = std::exchange(of(stream)->capturing, nullptr);
    return 0;
}
API cuGraphInstantiateWithFlags(void** out, void* graph, unsigned long long) { return *out = new Graph(*(Graph*)graph), 0; }
API cuGraphUpload(void*, void*) { return 0; }
API cuGraphLaunch(void* graph, void* stream) {
    for (auto& operation : *(Graph*)graph) {
        if (int error = submit(stream, operation)) return error;
    }
    return broken;
}
API cuGraphDestroy(void* graph) { return delete (Graph*)graph, 0; }
API cuGraphExecDestroy(void* graph) { return delete (Graph*)graph, 0; }

API cuEventCreate(void** out, unsigned) { return *out = new Event, 0; }
API cuEventDestroy_v2(void* event) { return delete (Event*)event, 0; }
API cuEventRecord(void* event, void* stream) {
    ALONE;
    Stream* s = of(stream);
    if (s->capturing) return CAPTURE_UNSUPPORTED;
    auto time = std::make_shared<Clock::time_point>();
    *(Event*)event = {s, s->asked + 1, time};
    return ask(s, [=] { return *time = Clock::now(), 0; });
}
API cuEventSynchronize(void* event) {
    ALONE;
    Event& e = *(Event*)event;
    return e.stream && !deaf(0) ? until(e.stream, e.operations) : broken;
}
API cuEventQuery(void* event) {
    ALONE;
    enum { NOT_READY = 600 };
    Event& e = *(Event*)event;
    return broken || !e.stream || e.stream->done >= e.operations ? broken : NOT_READY;
}
API cuEventElapsedTime(float* ms, void* a, void* b) {
    return *ms = std::chrono::duration<float, std::milli>(*((Event*)b)->time - *((Event*)a)->time).count(), 0;
}
API cuEventElapsedTime_v2(float* ms, void* a, void* b) { return cuEventElapsedTime(ms, a, b); }
