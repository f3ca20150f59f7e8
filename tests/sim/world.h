// SPDX-License-Identifier: LGPL-2.1-or-later
//
// world.h: virtual time, and who runs when.
//
// Every program, and every thread of the server, is a fibre. One of them runs at a time, and takes no time while it
// runs; time passes only between two of their steps (steps.h), when the scheduler says so, and while they
// wait. All choices are made from the seed: the same seed gives the same run.

#pragma once

#include "tests/sim/dice.h"
#include "tests/sim/steps.h"

#include <algorithm>
#include <cstdint>
#include <fmt/format.h>
#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <span>
#include <string>
#include <vector>

namespace ringmix::sim {

inline constexpr std::int64_t us = 1000;
inline constexpr std::int64_t ms = 1'000'000;
inline constexpr std::int64_t second = 1'000'000'000;
inline constexpr std::int64_t never = INT64_MAX;

struct Fibre;

// Something behind a descriptor (or a semaphore) that a fibre can wait for.
enum class Kind { plain, block, timer, socket, listener, death, counter, epoll, card };
struct Object {
    explicit Object(Kind its_kind = Kind::plain) : kind(its_kind) {}
    const Kind kind;
    virtual ~Object() = default;
    virtual bool readable() const { return false; }
    virtual std::int64_t readable_at() const { return never; } // of itself, by the clock
    virtual void closed() {}                                   // its last descriptor is gone
};

// How the scheduler treats a fibre.
struct Temper {
    std::uint32_t steps = 200;         // on average from one interruption to the next
    std::uint32_t hiccup = 50;         // one interruption in so many lasts as long as `hiccup_ns` at most
    std::int64_t hiccup_ns = 0;        //
    std::uint32_t stop = 0;            // one interruption in so many is a long stop; 0: none
    std::int64_t stop_ns = second;     // as long as this at most
    std::uint32_t death = 0;           // one interruption in so many is its end; 0: none
    std::int64_t latency_ns = 60 * us; // between being woken and running, at most
};

class World {
public:
    explicit World(std::uint64_t seed);

    // Time.
    std::int64_t now() const noexcept { return now_; }
    std::uint64_t seed() const noexcept { return seed_; }
    Dice& dice() noexcept { return dice_; }
    // Called when time has come to `now()`, before anybody runs then.
    std::function<void()> on_time;
    // Called before somebody runs at a time at which somebody has run already.
    std::function<void()> on_switch;
    // Events that are no fibre's: `what` is called at `time`.
    void at(std::int64_t time, std::function<void()> what);
    void run_until(std::int64_t end); // without what is slept (hold)
    // Nobody runs before `until`: the machine stands, its devices do not.
    void hold(std::int64_t until);
    bool held() const noexcept { return now_ < held_until_; }
    // Nobody of this process runs before `until`.
    void stop(std::uint32_t process, std::int64_t until)
    {
        std::int64_t& stopped = stopped_[process];
        stopped = std::max(stopped, until);
    }
    bool stopped(std::uint32_t process) const noexcept
    {
        const auto found = stopped_.find(process);
        return found != stopped_.end() && now_ < found->second;
    }

    // Fibres.
    Fibre& spawn(std::string name, std::uint32_t process, std::function<void()> body);
    Fibre* current() noexcept { return current_; }
    std::span<Fibre* const> fibres() const noexcept { return fibres_; }
    std::uint32_t new_process() noexcept { return ++last_process_; }
    std::uint32_t current_process() const noexcept;
    void kill(std::uint32_t process);
    bool dead(std::uint32_t process) const noexcept;
    std::function<void(std::uint32_t process)> on_death;

    // Of the running fibre. wait(): until one of `objects` is readable (true), or `deadline` (false).
    bool wait(std::span<Object* const> objects, std::int64_t deadline);
    void sleep_until(std::int64_t time) { wait({}, time); }
    void pause() noexcept; // at a step
    void stop_for(std::int64_t ns);
    // An object has become readable, or will be at another time.
    void changed(const Object& object);

    // Descriptors: numbers that are none of the kernel's.
    static constexpr int first_fd = 1 << 29;
    static bool ours(int fd) noexcept { return fd >= first_fd; }
    int open_fd(std::shared_ptr<Object> object);
    int open_fd(std::shared_ptr<Object> object, std::uint32_t process);
    void close_fd(int fd);
    std::shared_ptr<Object> object(int fd) const noexcept;
    template <class T> std::shared_ptr<T> object_as(int fd) const noexcept
    {
        auto found = object(fd);
        return found && found->kind == T::its_kind ? std::static_pointer_cast<T>(std::move(found)) : nullptr;
    }

    // What is printed of the last steps when something is wrong.
    void note(const char* what, std::uint64_t a = 0, std::uint64_t b = 0, std::uint64_t c = 0) noexcept;
    void note_of(const Fibre* fibre, const char* what, std::uint64_t a, std::uint64_t b, std::uint64_t c) noexcept;
    [[noreturn]] void fail(const std::string& what);
    std::function<std::string()> describe; // the scenario, for fail()
    std::uint64_t switches = 0;
    std::uint64_t looks = 0; // cycles of the engine, so far
    bool verbose = false;

private:
    struct Entry {
        std::int64_t time;
        std::uint64_t order;
        std::uint32_t fibre; // or the number of an event
        std::uint64_t token;
        bool operator>(const Entry& other) const noexcept
        {
            return time != other.time ? time > other.time : order > other.order;
        }
    };
    struct Note {
        std::int64_t time;
        std::uint32_t fibre;
        const char* what;
        std::uint64_t a, b, c;
    };
    struct OpenFile {
        std::shared_ptr<Object> object;
        std::uint32_t process = 0;
    };

    void schedule(Fibre& fibre, std::int64_t time);
    void resume(Fibre& fibre);
    void leave();
    void check_spinning();
    std::int64_t interruption(Fibre& fibre);
    void print_notes();

    std::uint64_t seed_;
    std::int64_t now_ = 0;
    Dice dice_;
    std::priority_queue<Entry, std::vector<Entry>, std::greater<>> queue_;
    std::vector<std::function<void()>> events_;
    std::vector<std::uint32_t> free_events_;
    std::vector<Fibre*> fibres_;
    std::vector<bool> dead_;
    std::vector<OpenFile> files_;
    std::vector<Note> notes_;
    std::uint64_t noted_ = 0;
    Fibre* current_ = nullptr;
    std::uint32_t last_process_ = 0;
    std::uint64_t at_this_time_ = 0;
    std::int64_t held_until_ = 0, held_ = 0;
    std::map<std::uint32_t, std::int64_t> stopped_; // processes, until then
};

struct Fibre {
    std::string name;
    std::uint32_t number = 0;
    std::uint32_t process = 0;
    Temper temper;
    bool done = false;
    bool interruptible = true;   // false: runs to its next wait
    std::int64_t since = 0;      // when it was interrupted or began to wait
    bool interrupted = false;    // in the middle of something
    std::int64_t wake_due = 0;   // when what it waits for came about
    std::uint64_t waits = 0;     // times that it has waited: cycles, of the engine
    std::uint64_t looks = 0;     // World::looks when it ran last
    std::int64_t busy_since = 0; // when it went on after the last time
    std::vector<Object*> waits_for;
    std::uint64_t token = 0;
    std::int64_t steps_left = 0;
    std::shared_ptr<Object> ended; // readable when done
    struct Machine;
    Machine* machine = nullptr;
};

extern World* world;

template <class... Args> [[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args)
{
    world->fail(fmt::format(format, std::forward<Args>(args)...));
}

} // namespace ringmix::sim
