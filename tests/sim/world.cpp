// SPDX-License-Identifier: LGPL-2.1-or-later

#include "tests/sim/world.h"

#include <algorithm>
#include <boost/context/fiber.hpp>
#include <boost/context/protected_fixedsize_stack.hpp>
#include <cstdio>
#include <cstring>
#include <cxxabi.h>
#include <unistd.h>

namespace ringmix::sim {

namespace context = boost::context;

World* world = nullptr;
std::int64_t steps_left = never;

namespace {

constexpr std::size_t stack_bytes = 256 * 1024;
constexpr std::uint64_t most_at_one_time = 2'000'000;
constexpr std::uint32_t event_fibre = ~0u;

struct Ended final : Object {
    bool is = false;
    bool readable() const override { return is; }
};

} // namespace

// Exceptions that are being handled belong to a thread, for the C++ runtime: here, to a fibre.
struct Exceptions {
    void* caught = nullptr;
    unsigned uncaught = 0;
};
static_assert(sizeof(Exceptions) == 16);

static Exceptions& exceptions() { return *reinterpret_cast<Exceptions*>(__cxxabiv1::__cxa_get_globals()); }

struct Fibre::Machine {
    context::fiber fibre;
    context::fiber scheduler;
    Exceptions exceptions;
};

void pause_here() noexcept
{
    if (world == nullptr || world->current() == nullptr) {
        steps_left = never;
        return;
    }
    world->pause();
}

World::World(std::uint64_t seed) : seed_(seed), dice_(seed), notes_(1 << 14) { world = this; }

std::uint32_t World::current_process() const noexcept { return current_ != nullptr ? current_->process : 0; }

Fibre& World::spawn(std::string name, std::uint32_t process, std::function<void()> body)
{
    auto* fibre = new Fibre; // for ever: the dead keep their memory
    fibre->name = std::move(name);
    fibre->number = static_cast<std::uint32_t>(fibres_.size());
    fibre->process = process;
    fibre->ended = std::make_shared<Ended>();
    fibre->machine = new Fibre::Machine;
    if (current_ != nullptr && current_->process == process)
        fibre->temper = current_->temper;
    fibre->machine->fibre =
        context::fiber(std::allocator_arg, context::protected_fixedsize_stack(stack_bytes),
                       [this, fibre, body = std::move(body)](context::fiber&& back) {
                           fibre->machine->scheduler = std::move(back);
                           try {
                               body();
                           } catch (const std::exception& error) {
                               fail(fmt::format("{} ended with an exception: {}", fibre->name, error.what()));
                           }
                           fibre->done = true;
                           static_cast<Ended&>(*fibre->ended).is = true;
                           changed(*fibre->ended);
                           return std::move(fibre->machine->scheduler);
                       });
    fibres_.push_back(fibre);
    schedule(*fibre, now_);
    return *fibre;
}

void World::schedule(Fibre& fibre, std::int64_t time)
{
    if (time == never)
        return;
    queue_.push({time, dice_.next(), fibre.number, ++fibre.token});
}

void World::at(std::int64_t time, std::function<void()> what)
{
    std::uint32_t number;
    if (free_events_.empty()) {
        number = static_cast<std::uint32_t>(events_.size());
        events_.push_back(std::move(what));
    } else {
        number = free_events_.back();
        free_events_.pop_back();
        events_[number] = std::move(what);
    }
    queue_.push({std::max(time, now_), dice_.next(), event_fibre, number});
}

void World::check_spinning()
{
    if (++at_this_time_ > most_at_one_time)
        fail(
            fmt::format("{} goes on for ever without time passing", current_ != nullptr ? current_->name : "somebody"));
}

void World::run_until(std::int64_t end)
{
    while (!queue_.empty() && queue_.top().time < end + held_) {
        const Entry entry = queue_.top();
        queue_.pop();
        if (entry.time > now_) {
            now_ = entry.time;
            at_this_time_ = 0;
            on_time();
        } else {
            on_switch();
        }
        check_spinning();
        if (entry.fibre == event_fibre) {
            const auto number = static_cast<std::uint32_t>(entry.token);
            const std::function<void()> what = std::move(events_[number]);
            free_events_.push_back(number);
            what();
            continue;
        }
        Fibre& fibre = *fibres_[entry.fibre];
        if (now_ < held_until_) {
            queue_.push({held_until_ + dice_.between(0, 200 * us), dice_.next(), entry.fibre, entry.token});
            continue;
        }
        if (stopped(fibre.process)) {
            queue_.push({stopped_[fibre.process], dice_.next(), entry.fibre, entry.token});
            continue;
        }
        if (fibre.token == entry.token && !fibre.done && !dead(fibre.process))
            resume(fibre);
    }
    now_ = std::max(now_, end + held_);
    on_time();
}

void World::hold(std::int64_t until)
{
    if (until <= held_until_)
        return;
    held_ += until - std::max(held_until_, now_);
    held_until_ = until;
}

void World::resume(Fibre& fibre)
{
    switches++;
    current_ = &fibre;
    fibre.looks = looks;
    fibre.interrupted = false;
    fibre.waits_for.clear();
    if (fibre.steps_left <= 0)
        fibre.steps_left = 1 + static_cast<std::int64_t>(dice_.below(2 * fibre.temper.steps));
    steps_left = fibre.steps_left;
    std::swap(exceptions(), fibre.machine->exceptions);
    fibre.machine->fibre = std::move(fibre.machine->fibre).resume();
    std::swap(exceptions(), fibre.machine->exceptions);
    fibre.steps_left = steps_left;
    steps_left = never;
    current_ = nullptr;
}

// Back to run_until(), until this fibre is scheduled again.
void World::leave()
{
    Fibre& fibre = *current_;
    fibre.machine->scheduler = std::move(fibre.machine->scheduler).resume();
}

bool World::wait(std::span<Object* const> objects, std::int64_t deadline)
{
    current_->waits++;
    for (;;) {
        Fibre& fibre = *current_;
        fibre.busy_since = now_;
        std::int64_t due = deadline;
        for (const Object* object : objects) {
            if (object->readable())
                return true;
            due = std::min(due, object->readable_at());
        }
        if (now_ >= deadline)
            return false;
        fibre.waits_for.assign(objects.begin(), objects.end());
        fibre.since = now_;
        fibre.wake_due = due;
        fibre.token++;
        if (due != never)
            schedule(fibre, std::max(due, now_) + dice_.between(0, fibre.temper.latency_ns));
        leave();
    }
}

void World::changed(const Object& object)
{
    for (Fibre* fibre : fibres_) {
        if (fibre->waits_for.empty() || fibre->done)
            continue;
        if (std::find(fibre->waits_for.begin(), fibre->waits_for.end(), &object) == fibre->waits_for.end())
            continue;
        fibre->wake_due = now_;
        schedule(*fibre, now_ + dice_.between(0, fibre->temper.latency_ns)); // it looks again
    }
}

// How long the running fibre is away; its own end: -1.
std::int64_t World::interruption(Fibre& fibre)
{
    const Temper& temper = fibre.temper;
    if (temper.death != 0 && dice_.one_in(temper.death))
        return -1;
    if (temper.stop != 0 && dice_.one_in(temper.stop))
        return dice_.between(1, temper.stop_ns);
    if (temper.hiccup != 0 && temper.hiccup_ns > 0 && dice_.one_in(temper.hiccup))
        return dice_.between(1, temper.hiccup_ns);
    return dice_.one_in(4) ? dice_.between(0, 100 * us) : dice_.between(0, 3 * us);
}

void World::pause() noexcept
{
    Fibre& fibre = *current_;
    if (!fibre.interruptible) {
        steps_left = 1 << 20;
        return;
    }
    steps_left = 0; // drawn anew when it goes on
    const std::int64_t ns = interruption(fibre);
    if (ns < 0) {
        note("dies here");
        kill(fibre.process);
        leave();
    }
    stop_for(ns);
}

void World::stop_for(std::int64_t ns)
{
    Fibre& fibre = *current_;
    if (ns > 500 * us)
        note("stops for us", static_cast<std::uint64_t>(ns / us));
    fibre.interrupted = true;
    fibre.since = now_;
    schedule(fibre, now_ + ns);
    leave();
}

bool World::dead(std::uint32_t process) const noexcept { return process < dead_.size() && dead_[process]; }

void World::kill(std::uint32_t process)
{
    if (dead(process))
        return;
    if (dead_.size() <= process)
        dead_.resize(process + 64);
    dead_[process] = true;
    if (on_death)
        on_death(process);
    // The kernel closes what it held, a little later.
    at(now_ + dice_.between(0, 300 * us), [this, process] {
        for (std::size_t i = 0; i < files_.size(); i++)
            if (files_[i].object && files_[i].process == process)
                close_fd(first_fd + static_cast<int>(i));
    });
}

int World::open_fd(std::shared_ptr<Object> object) { return open_fd(std::move(object), current_process()); }

int World::open_fd(std::shared_ptr<Object> object, std::uint32_t process)
{
    std::size_t i = 0;
    while (i < files_.size() && files_[i].object)
        i++;
    if (i == files_.size())
        files_.emplace_back();
    files_[i] = {std::move(object), process};
    return first_fd + static_cast<int>(i);
}

void World::close_fd(int fd)
{
    const auto i = static_cast<std::size_t>(fd - first_fd);
    if (i >= files_.size() || !files_[i].object)
        fail(fmt::format("closes descriptor {}, which is not open", fd - first_fd));
    const std::shared_ptr<Object> object = std::move(files_[i].object);
    files_[i] = {};
    const bool last = std::none_of(files_.begin(), files_.end(), [&](const OpenFile& f) { return f.object == object; });
    if (last)
        object->closed();
}

std::shared_ptr<Object> World::object(int fd) const noexcept
{
    const auto i = static_cast<std::size_t>(fd - first_fd);
    return fd >= first_fd && i < files_.size() ? files_[i].object : nullptr;
}

void World::note(const char* what, std::uint64_t a, std::uint64_t b, std::uint64_t c) noexcept
{
    note_of(current_, what, a, b, c);
}

void World::note_of(const Fibre* fibre, const char* what, std::uint64_t a, std::uint64_t b, std::uint64_t c) noexcept
{
    const std::uint32_t number = fibre != nullptr ? fibre->number : event_fibre;
    notes_[noted_++ % notes_.size()] = {now_, number, what, a, b, c};
    if (verbose)
        fmt::print("{:.6f} {}: {} {} {} {}\n", static_cast<double>(now_) / 1e9,
                   fibre != nullptr ? fibre->name : "device", what, a, b, c);
}

// The last of each actor, in the order of time.
void World::print_notes()
{
    constexpr unsigned of_each = 24;
    std::vector<unsigned> left(fibres_.size() + 1, of_each);
    std::vector<const Note*> chosen;
    const std::uint64_t count = std::min<std::uint64_t>(noted_, notes_.size());
    for (std::uint64_t i = 1; i <= count; i++) {
        const Note& note = notes_[(noted_ - i) % notes_.size()];
        unsigned& room = left[note.fibre == event_fibre ? fibres_.size() : note.fibre];
        if (room == 0)
            continue;
        room--;
        chosen.push_back(&note);
    }
    for (auto i = chosen.rbegin(); i != chosen.rend(); ++i)
        fmt::print(stderr, "{:14.6f}  {:<14} {} {} {} {}\n", static_cast<double>((*i)->time) / 1e9,
                   (*i)->fibre == event_fibre ? "device" : fibres_[(*i)->fibre]->name, (*i)->what, (*i)->a, (*i)->b,
                   (*i)->c);
}

void World::fail(const std::string& what)
{
    std::fflush(stdout);
    if (std::getenv("SIM_QUIET") == nullptr)
        print_notes();
    fmt::print(stderr, "{}seed {} at {:.6f} s, {}: {}\n", describe ? describe() : "", seed_,
               static_cast<double>(now_) / 1e9, current_ != nullptr ? current_->name : "device", what);
    std::fflush(stderr);
    _exit(1);
}

} // namespace ringmix::sim
