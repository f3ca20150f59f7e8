// SPDX-License-Identifier: LGPL-2.1-or-later
#include "server/closer.h"

#include "os/process.h"

#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace ringmix::server {

namespace {
constexpr unsigned most_threads = 8; // each can be held up by a stranger
} // namespace

// Outlives the Closer for as long as a thread is held up.
struct Closer::Shared {
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<os::Descriptor> waiting;
    unsigned threads = 0;
    unsigned idle = 0;
    bool ending = false;

    void run() noexcept
    {
        os::name_thread("ringmix-closer");
        std::unique_lock lock(mutex);
        while (!ending) {
            if (waiting.empty()) {
                idle++;
                changed.wait(lock);
                idle--;
                continue;
            }
            os::Descriptor next = std::move(waiting.back());
            waiting.pop_back();
            lock.unlock();
            next.reset();
            lock.lock();
        }
    }
};

Closer::Closer() : shared_(std::make_shared<Shared>()) {}

Closer::~Closer()
{
    const std::lock_guard guard(shared_->mutex);
    shared_->ending = true;
    shared_->changed.notify_all();
    for (os::Descriptor& descriptor : shared_->waiting)
        descriptor.release();
}

void Closer::close(os::Descriptor descriptor) noexcept
try {
    const std::lock_guard guard(shared_->mutex);
    shared_->waiting.push_back(std::move(descriptor));
    if (shared_->waiting.size() <= shared_->idle || shared_->threads == most_threads) {
        shared_->changed.notify_one();
        return;
    }
    std::thread([shared = shared_] { shared->run(); }).detach();
    shared_->threads++;
} catch (...) {
    // No memory or no thread: what could be put into the list is closed with the next one.
}

} // namespace ringmix::server
