// The stand-in for libcuda: devices, memory whose every buffer ends at a page that nobody may
// touch, launches.
//
// By environment variables, each with the prefix WAVEMIX_STAND_IN_:
//   MEMORY=bytes      how much there is (default 4 GiB); more is out of memory
//   FAIL_LAUNCH=k     the k-th launch, from 1, fails as one that hung up the device, and so does all that follows
//   FAIL_AS=code      with another error (default 719)
//   INIT=code         what the driver says when it is started (default 0)
//   VERSION=n         the newest CUDA it knows (default 13000)
//   CAPABILITY=n      of the device (default 90)
//   ORDER, THREADS    see device.cpp
//   LATE, DEAF        see streams.cpp
#include "driver.h"

#include "device.h"

#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <vector>

#include <sys/mman.h>
#include <unistd.h>

namespace stand_in {

typedef unsigned long long Address;
struct Mapping { char* start; size_t mapped, bytes; };

static std::mutex lock;
static std::map<Address, Mapping> buffers;
static std::map<const void*, size_t> locked;    // page-locked memory of the CPU
static size_t live = 0;
static thread_local void* current_context = nullptr;
static char context;

size_t setting(const char* name, size_t otherwise) {
    const char* text = getenv((std::string("WAVEMIX_STAND_IN_") + name).c_str());
    return text ? strtoull(text, nullptr, 10) : otherwise;
}

static size_t memory() {
    static size_t bytes = setting("MEMORY", (size_t)4 << 30);
    return bytes;
}

bool inside(const char* what, const void* start, size_t bytes) {
    std::lock_guard<std::mutex> guard(lock);
    auto next = buffers.upper_bound((Address)start);
    if (next != buffers.begin()) {
        auto own = std::prev(next);
        if ((Address)start + bytes <= own->first + own->second.bytes) return true;
    }
    if (bytes) fprintf(stderr, "stand-in: %s of %zu bytes at %p is not within one buffer\n", what, bytes, start);
    return !bytes;
}

// Whether what follows a buffer up to the next multiple of 16, before its guard page, is still as
// it was filled; says so where not.
static bool intact(const Kernel& kernel) {
    std::lock_guard<std::mutex> guard(lock);
    for (auto& [start, mapping] : buffers) {
        for (size_t i = mapping.bytes; i % 16; i++) {
            if (((unsigned char*)start)[i] == 0xff) continue;
            fprintf(stderr, "stand-in: kernel %s (REAL %d) wrote beyond the end of a buffer of %zu bytes\n", kernel.name, kernel.real, mapping.bytes);
            return false;
        }
    }
    return true;
}

}  // namespace stand_in

using namespace stand_in;

// ---- Devices and contexts: there is one of each.

API cuInit(unsigned) { return setting("INIT", 0); }
API cuDriverGetVersion(int* version) { return *version = setting("VERSION", 13000), 0; }
API cuDeviceGet(int* device, int ordinal) { return *device = ordinal, ordinal == 0 ? 0 : INVALID_DEVICE; }
API cuDeviceGetCount(int* count) { return *count = 1, 0; }
API cuDeviceGetName(char* name, int room, int) { return snprintf(name, room, "stand-in"), 0; }
API cuDeviceTotalMem_v2(size_t* bytes, int) { return *bytes = memory(), 0; }
API cuDeviceGetAttribute(int* value, int attribute, int) {
    // Threads of a block, static shared memory, warp, multiprocessors, compute capability, largest
    // shared memory.
    int capability = setting("CAPABILITY", 90);
    const std::map<int, int> known = {{1, 1024}, {8, 49152}, {10, 32}, {16, 4}, {75, capability / 10}, {76, capability % 10}, {97, 232448}};
    auto found = known.find(attribute);
    return *value = found == known.end() ? 0 : found->second, 0;
}
API cuDevicePrimaryCtxRetain(void** out, int) { return *out = &context, 0; }
API cuDevicePrimaryCtxRelease_v2(int) { return 0; }
API cuCtxGetCurrent(void** out) { return *out = current_context, 0; }
API cuCtxSetCurrent(void* c) { return current_context = c, 0; }
API cuGetErrorName(int error, const char** name) {
    static const std::map<int, const char*> names = {{0, "CUDA_SUCCESS"}, {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE"},
        {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY"}, {NO_DEVICE, "CUDA_ERROR_NO_DEVICE"}, {INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE"}, {INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE"},
        {NOT_FOUND, "CUDA_ERROR_NOT_FOUND"}, {ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS"}, {701, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"},
        {716, "CUDA_ERROR_MISALIGNED_ADDRESS"}, {LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED"},
        {CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"}};
    auto found = names.find(error);
    return *name = found == names.end() ? "CUDA_ERROR_UNKNOWN" : found->second, 0;
}
API cuGetErrorString(int error, const char** text) { return cuGetErrorName(error, text); }

// ---- Memory. A buffer begins at a multiple of 16 and ends, but for what that takes, where its mapping does; it is filled with bits that
// are not-a-number in every float type. What a running capture forbids, it forbids here too.

API cuMemAlloc_v2(Address* out, size_t bytes) {
    if (state() || bytes == 0) return state() ? state() : INVALID_VALUE;
    std::lock_guard<std::mutex> guard(lock);
    if (bytes > memory() - live) return OUT_OF_MEMORY;
    size_t page = getpagesize(), room = (bytes + 15) / 16 * 16, mapped = (room + page - 1) / page * page + 2 * page;
    char* start = (char*)mmap(nullptr, mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED || mprotect(start + page, mapped - 2 * page, PROT_READ | PROT_WRITE)) return OUT_OF_MEMORY;
    char* data = start + mapped - page - room;
    memset(data, 0xff, room);
    buffers[*out = (Address)data] = {start, mapped, bytes};
    live += bytes;
    return 0;
}
API cuMemFree_v2(Address p) {
    // The driver waits for all that was asked for before it takes memory back.
    if (int error = cuCtxSynchronize()) return error;
    std::lock_guard<std::mutex> guard(lock);
    auto found = buffers.find(p);
    if (found == buffers.end()) return INVALID_VALUE;
    live -= found->second.bytes;
    munmap(found->second.start, found->second.mapped);
    buffers.erase(found);
    return 0;
}
API cuMemAllocAsync(Address* out, size_t bytes, void*) { return cuMemAlloc_v2(out, bytes); }
API cuMemFreeAsync(Address p, void*) { return cuMemFree_v2(p); }
API cuMemGetInfo_v2(size_t* free, size_t* total) { return *total = memory(), *free = memory() - live, 0; }
API cuMemHostAlloc(void** out, size_t bytes, unsigned) {
    std::lock_guard<std::mutex> guard(lock);
    if (!(*out = aligned_alloc(256, (bytes + 255) / 256 * 256))) return OUT_OF_MEMORY;
    return locked[*out] = bytes, 0;
}
API cuMemFreeHost(void* p) {
    std::lock_guard<std::mutex> guard(lock);
    return locked.erase(p) ? free(p), 0 : INVALID_VALUE;
}

// Whether these bytes are in page-locked memory, which the device reads and writes by itself, when
// the copy's turn has come. Other memory is read before the call returns, and written before it
// too.
static bool is_locked(const void* start, size_t bytes) {
    std::lock_guard<std::mutex> guard(lock);
    auto next = locked.upper_bound(start);
    return next != locked.begin() && (char*)start + bytes <= (char*)std::prev(next)->first + std::prev(next)->second;
}
API cuMemcpyHtoDAsync_v2(Address to, const void* from, size_t bytes, void* stream) {
    if (!inside("a copy to the device", (void*)to, bytes)) return INVALID_VALUE;
    if (is_locked(from, bytes)) return submit(stream, [=] { return memcpy((void*)to, from, bytes), 0; });
    std::vector<char> read((char*)from, (char*)from + bytes);
    return submit(stream, [=] { return memcpy((void*)to, read.data(), bytes), 0; });
}
API cuMemcpyDtoHAsync_v2(void* to, Address from, size_t bytes, void* stream) {
    if (!inside("a copy from the device", (void*)from, bytes)) return INVALID_VALUE;
    int error = submit(stream, [=] { return memcpy(to, (void*)from, bytes), 0; });
    return error || is_locked(to, bytes) ? error : cuStreamSynchronize(stream);
}
API cuMemcpyDtoDAsync_v2(Address to, Address from, size_t bytes, void* stream) {
    if (!inside("a copy on the device", (void*)to, bytes) || !inside("a copy on the device", (void*)from, bytes)) return INVALID_VALUE;
    return submit(stream, [=] { return memmove((void*)to, (void*)from, bytes), 0; });
}
API cuMemcpyHtoD_v2(Address to, const void* from, size_t bytes) { return state() ? state() : cuMemcpyHtoDAsync_v2(to, from, bytes, nullptr); }
API cuMemcpyDtoH_v2(void* to, Address from, size_t bytes) { return state() ? state() : cuMemcpyDtoHAsync_v2(to, from, bytes, nullptr); }
template <class T> static int set(Address to, T value, size_t n, void* stream) {
    if (!inside("a fill", (void*)to, n * sizeof(T))) return INVALID_VALUE;
    return submit(stream, [=] { return std::fill_n((T*)to, n, value), 0; });
}
API cuMemsetD8Async(Address to, unsigned char value, size_t n, void* stream) { return set(to, value, n, stream); }
API cuMemsetD16Async(Address to, unsigned short value, size_t n, void* stream) { return set(to, value, n, stream); }
API cuMemsetD32Async(Address to, unsigned value, size_t n, void* stream) { return set(to, value, n, stream); }

// ---- Modules: an image is the line that the stand-in's compiler writes, which names a file and a storage type.

struct Module { std::string file; int real; };

API cuModuleLoadData(void** out, const void* image) {
    char file[64];
    int real;
    if (state()) return state();
    if (sscanf((const char*)image, "stand-in REAL=%d %63s", &real, file) != 2) return INVALID_IMAGE;
    return *out = new Module{file, real}, 0;
}
API cuModuleUnload(void* module) { return delete (Module*)module, 0; }
API cuModuleGetFunction(void** out, void* module, const char* name) {
    const Module& m = *(Module*)module;
    for (Kernel* k = kernels; k; k = k->next) {
        const char* file = strrchr(k->file, '/');
        if (k->real == m.real && m.file == (file ? file + 1 : k->file) && !strcmp(k->name, name)) return *out = k, 0;
    }
    return NOT_FOUND;
}
API cuFuncGetAttribute(int* value, int attribute, void* function) { return *value = attribute == 0 ? ((Kernel*)function)->threads : 0, 0; }
API cuFuncSetAttribute(void*, int, int) { return 0; }
API cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, void* function, int threads, size_t, unsigned) {
    return *blocks = threads <= ((Kernel*)function)->threads ? 2 : 0, 0;
}

API cuLaunchKernel(void* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned, void* stream,
    void** arguments, void**) {
    const Kernel& kernel = *(Kernel*)function;
    if (gx > 0x7fffffff || gy > 65535 || gz > 65535 || bx * by * bz > 1024) return INVALID_VALUE;
    std::vector<std::vector<char>> copies;
    for (size_t i = 0; i < kernel.count; i++) copies.emplace_back((char*)arguments[i], (char*)arguments[i] + kernel.sizes[i]);
    return submit(stream, [=, &kernel]() mutable {
        static size_t launches = 0, failing = setting("FAIL_LAUNCH", 0);
        if (++launches == failing) return (int)setting("FAIL_AS", LAUNCH_FAILED);
        std::vector<void*> pointers;
        for (auto& argument : copies) pointers.push_back(argument.data());
        int error = launch(kernel, {gx, gy, gz}, {bx, by, bz}, pointers.data());
        return error ? error : intact(kernel) ? 0 : (int)ILLEGAL_ADDRESS;
    });
}
