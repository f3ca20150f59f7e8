// SPDX-License-Identifier: LGPL-2.1-or-later

#include "tests/sim/misfortunes.h"

#include <cerrno>

namespace ringmix::sim {

namespace {

constexpr std::int64_t settled = 60 * ms;
std::uint64_t lines_before = 0;
std::int64_t failing_since = 0;

void stop_card(bool suspended)
{
    if (card->state() != Card::State::running)
        return;
    ear->disturbed(settled);
    card->stop(suspended ? Card::State::suspended : Card::State::stopped);
}

void fail_card(std::int64_t ns)
{
    card->start_error = EIO;
    failing_since = world->now();
    lines_before = machine().log_lines;
    stop_card(world->dice().one_in(2));
    world->at(world->now() + ns, [] {
        card->start_error = 0;
        constexpr std::uint64_t most_lines = 12;
        if (machine().log_lines > lines_before + most_lines)
            fail("a device that cannot be restarted has made the server say {} lines in {} ms",
                 machine().log_lines - lines_before, (world->now() - failing_since) / ms);
    });
}

// Nobody runs for `ns`; then all find that it is much later.
void sleep_all(std::int64_t ns)
{
    if (world->held())
        return;
    const std::int64_t until = world->now() + ns;
    world->note("the machine sleeps for s", static_cast<std::uint64_t>(ns / second));
    world->hold(until);
    const std::int64_t turns = ear->ns_of(3 * std::uint64_t{ear->truth().ring}) + 100 * ms;
    if (card && ns > turns)
        world->at(world->now() + turns, [until] { card->skip_to(until); });
    world->at(until, [] { ear->disturbed(settled + 40 * ms); });
}

// As long as the card's pointer does not come round unseen.
std::int64_t longest_sleep()
{
    if (!card)
        return 1000 * 24 * 3600 * second;
    const std::uint64_t quarter = card->boundary() / 4;
    return ear->ns_of(std::min<std::uint64_t>(quarter, std::uint64_t{1} << 42)) / 2;
}

std::int64_t ns_until_frame(std::uint64_t frame)
{
    return static_cast<std::int64_t>(static_cast<unsigned __int128>(frame) * std::uint64_t{second} / ear->truth().rate);
}

} // namespace

const char* misfortune_name(Misfortune misfortune)
{
    static constexpr const char* names[] = {"none",        "stops",       "fails", "jumps",        "unplugged",
                                            "long sleeps", "late frames", "turns", "server stops", "server dies"};
    return names[static_cast<std::size_t>(misfortune)];
}

// A sleep until just before a frame number at which something could go wrong.
static void plan_late_frames(std::int64_t whole)
{
    Dice& dice = world->dice();
    const std::uint64_t frame = std::uint64_t{1} << dice.pick({31, 32, 33, 40, 41, 45});
    const std::int64_t ns = std::max(ns_until_frame(frame) - dice.between(0, whole), ms);
    // What was played 2^40 frames ago must have been forgotten meanwhile (docs/mixing.md): the engine looks once.
    const std::int64_t last = frame >> 39 != 0 ? ns_until_frame(std::uint64_t{1} << 38) : 0;
    world->at(100 * ms, [ns, last] {
        sleep_all(ns - last);
        if (last != 0)
            world->at(world->now() + ns - last + 400 * ms, [last] { sleep_all(last - 400 * ms); });
    });
}

void plan_misfortunes(Misfortune misfortune, double seconds)
{
    Dice& dice = world->dice();
    const auto whole = static_cast<std::int64_t>(seconds * 1e9);
    const auto some_time = [&] { return dice.between(whole / 10, whole * 9 / 10); };
    const std::int64_t times = dice.between(1, std::max<std::int64_t>(whole / second / 2, 1));
    switch (misfortune) {
    case Misfortune::stops:
        for (std::int64_t i = 0; i < times; i++)
            world->at(some_time(), [] { stop_card(world->dice().one_in(2)); });
        break;
    case Misfortune::fails:
        world->at(some_time(), [ns = dice.between(10 * ms, 3 * second)] { fail_card(ns); });
        break;
    case Misfortune::jumps:
        for (std::int64_t i = 0; i < times; i++)
            world->at(some_time(), [] {
                ear->disturbed(settled);
                card->jump(1 + world->dice().below(2 * std::uint64_t{ear->truth().ring}));
            });
        break;
    case Misfortune::unplugged:
        world->at(std::max<std::int64_t>(whole - 2 * second, whole / 2), [] {
            machine().device_gone = true;
            card->unplug();
        });
        break;
    case Misfortune::long_sleeps:
        for (std::int64_t i = 0; i < times; i++)
            world->at(some_time(), [most = longest_sleep()] { sleep_all(world->dice().between(ms, most)); });
        break;
    case Misfortune::late_frames:
        plan_late_frames(whole);
        break;
    case Misfortune::turns: // in two steps, for the engine looks now and then
        world->at(whole / 2, [] {
            const std::int64_t half = ns_until_frame(std::uint64_t{1} << 39);
            const std::int64_t first = half + world->dice().between(-300 * ms, 300 * ms);
            sleep_all(first);
            world->at(world->now() + first + 400 * ms,
                      [half] { sleep_all(half + world->dice().between(-500 * ms, 100 * ms)); });
        });
        break;
    case Misfortune::server_stops:
        for (std::int64_t i = 0; i < times; i++)
            world->at(some_time(), [ns = dice.between(ms, 2 * second)] {
                world->note("the server is stopped for ms", static_cast<std::uint64_t>(ns / ms));
                world->stop(machine().server, world->now() + ns);
            });
        break;
    case Misfortune::server_dies:
        world->at(some_time(), [] {
            world->note("the server dies");
            machine().listener = nullptr;
            world->kill(machine().server);
        });
        break;
    default:
        break;
    }
}

void check_misfortunes(Misfortune misfortune)
{
    if (misfortune != Misfortune::unplugged)
        return;
    for (const Fibre* fibre : world->fibres())
        if (fibre->name.starts_with("player") && !fibre->done && !world->dead(fibre->process) && !fibre->interrupted)
            fail("the device has gone, and {} has not noticed", fibre->name);
}

} // namespace ringmix::sim
