// How the stand-in runs a grid: fibers, barriers, exchanges between lanes, and what is wrong with a
// kernel told in a sentence.
#include "device.h"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include <sys/mman.h>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

OWN_TO_A_THREAD uint3 threadIdx, blockIdx, blockDim, gridDim;

namespace stand_in {

Kernel* kernels = nullptr;

// ---- Fibers.

#if defined(__x86_64__)
struct Context { void* stack; };

// Puts the registers that a call preserves on this stack, and takes those of the other. (ucontext,
// below, makes a system call of it.)
extern "C" void stand_in_switch(void** from, void* to);
asm(".text\n.globl stand_in_switch\n.hidden stand_in_switch\n.type stand_in_switch,@function\nstand_in_switch:\n"
    "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\n"
    "movq %rsp,(%rdi)\nmovq %rsi,%rsp\n"
    "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\nret\n");

static void change(Context& from, Context& to) { stand_in_switch(&from.stack, to.stack); }

static void prepare(Context& context, char* stack, size_t size, void (*entry)()) {
    // As if `entry` had been called: its return address lies 8 bytes below a multiple of 16; under
    // it six registers of zeros.
    void** top = (void**)(((uintptr_t)stack + size) & ~(uintptr_t)15) - 1;
    *--top = (void*)entry;
    top -= 6;
    memset(top, 0, 6 * sizeof(void*));
    context.stack = top;
}
#else
struct Context { ucontext_t u; };
static void change(Context& from, Context& to) { swapcontext(&from.u, &to.u); }
static void prepare(Context& context, char* stack, size_t size, void (*entry)()) {
    getcontext(&context.u);
    context.u.uc_stack.ss_sp = stack, context.u.uc_stack.ss_size = size, context.u.uc_link = nullptr;
    makecontext(&context.u, entry, 0);
}
#endif

enum State { READY, AT_BARRIER, IN_WARP, DONE };

struct Fiber {
    Context context;
    uint3 index;
    State state;
    int line;
    unsigned mask;
    bool odd;
};

constexpr size_t STACK = 128 * 1024;

// A thread of the system that runs blocks, one after the other.
struct Worker {
    Context scheduler;
    std::vector<Fiber> fibers;
    std::vector<Slot> slots;
    std::vector<unsigned> order;
    char* stacks = nullptr;
    size_t room = 0;
    Fiber* current = nullptr;
    const Kernel* kernel = nullptr;
    void** arguments = nullptr;
    unsigned random = 1;
    int signal = 0;

    ~Worker() {
        if (stacks) munmap(stacks, room * STACK);
    }
};
static OWN_TO_A_THREAD Worker* worker;

static size_t number(const Fiber* fiber) { return fiber - worker->fibers.data(); }
unsigned lane() { return number(worker->current) % 32; }
static void wait(State state, int line) {
    Fiber& fiber = *worker->current;
    fiber.state = state, fiber.line = line;
    change(fiber.context, worker->scheduler);
}
void barrier(int line) { wait(AT_BARRIER, line); }

const Slot* exchange(const void* mine, size_t size, unsigned mask, int line) {
    Fiber& fiber = *worker->current;
    // Two sets of slots by turns: a lane may begin the next exchange while others still read from
    // this one.
    fiber.odd = !fiber.odd;
    Slot* slots = &worker->slots[(number(&fiber) / 32 * 2 + fiber.odd) * 32];
    memcpy(slots[lane()].bytes, mine, size);
    fiber.mask = mask;
    wait(IN_WARP, line);
    return slots;
}

void trap() {
    worker->signal = SIGTRAP;
    change(worker->current->context, worker->scheduler);
    __builtin_unreachable();
}

static void entry() {
    Worker& w = *worker;
    w.kernel->call(w.arguments);
    wait(DONE, 0);
    __builtin_unreachable();
}

// A kernel that touches what it must not ends here: its block is given up, as a device gives up the
// kernel.
static struct sigaction before[32];
static void caught(int signal, siginfo_t* info, void* context) {
    if (worker && worker->current) {
        worker->signal = signal;
        change(worker->current->context, worker->scheduler);
    }
    // Not ours: as it was before.
    sigaction(signal, &before[signal], nullptr);
    if (before[signal].sa_flags & SA_SIGINFO) before[signal].sa_sigaction(signal, info, context);
}

static void catch_signals() {
    struct sigaction action = {};
    action.sa_sigaction = caught;
    action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
    for (int signal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE}) sigaction(signal, &action, &before[signal]);
}

static int fail(const char* what) {
    Worker& w = *worker;
    fprintf(stderr, "stand-in: %s in kernel %s (REAL %d), block (%u, %u, %u)", what, w.kernel->name, w.kernel->real, blockIdx.x, blockIdx.y,
        blockIdx.z);
    if (w.signal) fprintf(stderr, ", thread (%u, %u, %u)", threadIdx.x, threadIdx.y, threadIdx.z);
    const char* states[] = {"ready", "at the barrier of line", "in the warp operation", "done"};
    for (size_t i = 0; i < w.fibers.size() && !w.signal; i++) {
        const Fiber &f = w.fibers[i], &last = w.fibers[i ? i - 1 : 0];
        if (i == 0 || f.state != last.state || f.line != last.line) fprintf(stderr, "; from thread %zu: %s %d", i, states[f.state], f.line);
    }
    fputc('\n', stderr);
    return w.signal == SIGSEGV || w.signal == SIGBUS ? 700 : w.signal == SIGILL ? 716 : 719;
}

// Lets the lanes of each warp go on that have all come; how many warps that were, or -1 where lanes
// do not agree.
static int release_warps() {
    Worker& w = *worker;
    int released = 0;
    for (size_t first = 0; first < w.fibers.size(); first += 32) {
        size_t count = std::min<size_t>(32, w.fibers.size() - first);
        Fiber* warp = &w.fibers[first];
        unsigned here = 0, mask = 0;
        int line = 0;
        for (size_t i = 0; i < count; i++) {
            if (warp[i].state != IN_WARP) continue;
            if (here && (warp[i].mask != mask || warp[i].line != line)) return -1;
            here |= 1u << i, mask = warp[i].mask, line = warp[i].line;
        }
        unsigned alive = count == 32 ? ~0u : (1u << count) - 1;
        if (!here || (mask & alive) != here) continue;
        for (size_t i = 0; i < count; i++) {
            if (warp[i].state == IN_WARP) warp[i].state = READY;
        }
        released++;
    }
    return released;
}

static int run_block() {
    Worker& w = *worker;
    for (size_t i = 0; i < w.fibers.size(); i++) {
        unsigned x = i % blockDim.x, y = i / blockDim.x % blockDim.y, z = i / blockDim.x / blockDim.y;
        w.fibers[i] = {{}, {x, y, z}, READY, 0, 0, false};
        prepare(w.fibers[i].context, w.stacks + i * STACK, STACK, entry);
    }
    for (;;) {
        bool ran = false;
        for (unsigned i : w.order) {
            if (w.fibers[i].state != READY) continue;
            w.current = &w.fibers[i];
            threadIdx = w.current->index;
            change(w.scheduler, w.current->context);
            w.current = nullptr;
            ran = true;
            if (w.signal == SIGTRAP) return fail("trap");
            if (w.signal) return fail(w.signal == SIGILL ? "misaligned access or index out of an array" : "access outside of all buffers");
        }
        int released = release_warps();
        if (released < 0) return fail("lanes of a warp at different operations");
        size_t done = 0, waiting = 0;
        int line = 0;
        for (Fiber& f : w.fibers) {
            done += f.state == DONE;
            if (f.state != AT_BARRIER) continue;
            if (waiting++ && f.line != line) return fail("threads at different barriers");
            line = f.line;
        }
        if (done == w.fibers.size()) return 0;
        if (waiting && waiting == w.fibers.size()) {
            for (Fiber& f : w.fibers) f.state = READY;
        } else if (waiting && waiting + done == w.fibers.size()) {
            return fail("a barrier that some threads never come to");
        } else if (!released && !ran) {
            return fail("threads that wait for each other");
        }
    }
}

// The order in which the threads of a block get their turns: WAVEMIX_STAND_IN_ORDER is forward,
// reverse or shuffle.
static void arrange(Worker& w, size_t threads) {
    static const char* order = getenv("WAVEMIX_STAND_IN_ORDER");
    w.order.resize(threads);
    for (size_t i = 0; i < threads; i++) w.order[i] = order && *order == 'r' ? threads - 1 - i : i;
    for (size_t i = threads; i > 1 && order && *order == 's'; i--) {
        w.random = w.random * 1664525u + 1013904223u;
        std::swap(w.order[i - 1], w.order[(w.random >> 8) % i]);
    }
}

static void run_blocks(const Kernel& kernel, uint3 grid, uint3 block, void** arguments, std::atomic<size_t>& next, std::atomic<int>& error) {
    static thread_local Worker w;
    size_t threads = (size_t)block.x * block.y * block.z, blocks = (size_t)grid.x * grid.y * grid.z;
    worker = &w;
    w.kernel = &kernel, w.arguments = arguments, w.signal = 0;
    if (w.room < threads) {
        if (w.stacks) munmap(w.stacks, w.room * STACK);
        w.stacks = (char*)mmap(nullptr, threads * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        w.room = threads;
    }
    w.fibers.resize(threads);
    w.slots.resize((threads + 31) / 32 * 64);
    blockDim = block, gridDim = grid;
    for (size_t i; (i = next++) < blocks && !error;) {
        blockIdx = {(unsigned)(i % grid.x), (unsigned)(i / grid.x % grid.y), (unsigned)(i / grid.x / grid.y)};
        arrange(w, threads);
        if (int failed = run_block()) error = failed;
    }
    worker = nullptr;
}

int launch(const Kernel& kernel, uint3 grid, uint3 block, void** arguments) {
    size_t threads = (size_t)block.x * block.y * block.z, blocks = (size_t)grid.x * grid.y * grid.z;
    if (threads == 0 || threads > (size_t)kernel.threads || blocks == 0 || grid.y > 65535 || grid.z > 65535) {
        fprintf(stderr, "stand-in: kernel %s cannot be launched with grid (%u, %u, %u) and block (%u, %u, %u)\n", kernel.name, grid.x, grid.y,
            grid.z, block.x, block.y, block.z);
        return threads > (size_t)kernel.threads ? 701 : 1;
    }
    static bool once = (catch_signals(), true);
    (void)once;
    static size_t cores = getenv("WAVEMIX_STAND_IN_THREADS") ? atoi(getenv("WAVEMIX_STAND_IN_THREADS")) : std::thread::hardware_concurrency();
    std::atomic<size_t> next{0};
    std::atomic<int> error{0};
    auto work = [&] { run_blocks(kernel, grid, block, arguments, next, error); };
    // A second thread pays for itself from some ten thousand CUDA threads on.
    std::vector<std::thread> helpers;
    for (size_t i = 1; i < std::min(cores, blocks * threads / 8192); i++) helpers.emplace_back(work);
    work();
    for (std::thread& helper : helpers) helper.join();
    return error;
}

// ---- IEEE 754 binary16.

float half_to_float(unsigned short bits) {
    float sign = bits >> 15 ? -1.0f : 1.0f;
    int exponent = bits >> 10 & 31, fraction = bits & 1023;
    if (exponent == 31) return fraction ? NAN : sign * INFINITY;
    return sign * (exponent ? ldexpf(1024.0f + fraction, exponent - 25) : ldexpf(fraction, -24));
}

unsigned short float_to_half(float x) {
    unsigned short sign = std::signbit(x) ? 0x8000 : 0;
    float size = fabsf(x);
    if (x != x) return 0x7fff;
    // From half a step above the largest, 65504, on.
    if (size >= 65520.0f) return sign | 0x7c00;
    int exponent;
    frexpf(size, &exponent);
    // size = 0.1.. 2^exponent; below 2^-14 the steps stay at 2^-24. nearbyint rounds to even.
    int step = size == 0 ? -24 : std::max(exponent - 11, -24);
    int steps = (int)nearbyintf(ldexpf(size, -step));
    // From 1024 steps on the first of them is the exponent's.
    return sign | (unsigned short)(((step + 24) << 10) + steps);
}

}  // namespace stand_in
