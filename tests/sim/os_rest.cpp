// SPDX-License-Identifier: LGPL-2.1-or-later
//
// os/timer.h and os/process.h for the simulator, and the server's closer and stderr.

#include "os/process.h"
#include "os/timer.h"
#include "server/closer.h"
#include "server/log.h"
#include "tests/sim/machine.h"

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace ringmix::sim {

Machine& machine()
{
    static Machine the;
    return the;
}

} // namespace ringmix::sim

namespace ringmix::os {

using sim::machine;
using sim::world;

std::int64_t monotonic_ns() noexcept { return world->now(); }

void sleep_ns(std::int64_t ns) noexcept { world->sleep_until(world->now() + ns); }

Timer::Timer() : fd_(world->open_fd(std::make_shared<sim::TimerObject>())) {}

void Timer::set(std::int64_t ns) noexcept
{
    const auto timer = world->object_as<sim::TimerObject>(fd_.get());
    timer->expires = std::max<std::int64_t>(ns, 1);
    world->changed(*timer);
}

void Timer::disarm() noexcept { world->object_as<sim::TimerObject>(fd_.get())->expires = sim::never; }

void Timer::wait(int also) noexcept
{
    const auto timer = world->object(fd_.get());
    const auto other = also >= 0 ? world->object(also) : nullptr;
    sim::Object* objects[] = {timer.get(), other.get()};
    world->wait({objects, other ? 2u : 1u}, sim::never);
}

std::string program_name() { return machine().programs[world->current_process()].name; }

std::string process_name(pid_t pid) { return machine().programs[static_cast<std::uint32_t>(pid)].name; }

Descriptor watch_process(pid_t pid)
{
    auto death = std::make_shared<sim::Death>();
    death->process = static_cast<std::uint32_t>(pid);
    machine().deaths.push_back(death);
    return Descriptor(world->open_fd(std::move(death)));
}

SpawnResult spawn_detached(const std::vector<std::string>&, const std::vector<std::string>&, int)
{
    throw std::system_error(ENOSYS, std::generic_category(), "no program is started in the simulator");
}

bool become_realtime(int) noexcept { return machine().realtime; }

void name_thread(const char* name) noexcept
{
    sim::Fibre& fibre = *world->current();
    fibre.name = name;
    if (fibre.name == "ringmix-engine")
        fibre.temper = machine().engine_temper;
}

void raise_descriptor_limit() noexcept {}

std::uint64_t file_size_limit() noexcept { return ~std::uint64_t{0}; }

} // namespace ringmix::os

namespace ringmix::server {

// Nothing here takes long to close.
struct Closer::Shared {};
Closer::Closer() = default;
Closer::~Closer() = default;
void Closer::close(os::Descriptor descriptor) noexcept { descriptor.reset(); }

} // namespace ringmix::server

// What the server says (card_names.h).
extern "C" ssize_t sim_write(int, const void* text, std::size_t bytes)
{
    ringmix::sim::machine().log_lines++;
    if (ringmix::sim::world->verbose)
        fmt::print("{:.6f} {}", static_cast<double>(ringmix::sim::world->now()) / 1e9,
                   std::string(static_cast<const char*>(text), bytes));
    return static_cast<ssize_t>(bytes);
}
