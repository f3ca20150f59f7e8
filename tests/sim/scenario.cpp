// SPDX-License-Identifier: LGPL-2.1-or-later

#include "tests/sim/scenario.h"

#include "core/format.h"
#include "core/test_hooks.h"
#include "server/control.h"
#include "tests/sim/misfortunes.h"
#include "tests/sim/player.h"

#include <algorithm>
#include <alsa/asoundlib.h>

std::atomic<RingmixTestHook*> ringmix_test_hook{nullptr};

namespace ringmix::sim {

namespace {

// Programs are stopped exactly where they hold old sums, or have stored them: one time in so many; 0: never.
struct Holds {
    std::uint32_t one_in = 0;
    std::int64_t most_ns = 20 * ms;
};

struct Plan {
    bool is_virtual = true;
    std::uint32_t format = abi::format_s16, channels = 2, rate = 8000, period = 256, ring = 2048;
    std::uint32_t clip = abi::clip_hard, dither = abi::dither_none;
    CardHabits card;
    std::uint32_t latency = 0;
    unsigned players = 8;
    PlayerHabits player;
    std::int64_t gain_mean_ns = 300 * ms;
    Misfortune misfortune = Misfortune::none;
    Temper program, engine, server;
    Holds holds;
    std::string text;
};

std::uint32_t margin_of(const Plan& plan)
{
    const std::uint32_t margin = std::max(plan.rate * (plan.is_virtual ? 1 : 2) / 1000, 16u);
    return margin + (!plan.is_virtual && plan.card.by_periods ? plan.period : 0);
}

void choose_device(Plan& plan, Dice& dice)
{
    plan.is_virtual = dice.one_in(2);
    plan.rate =
        dice.pick<std::uint32_t>({8000, 8000, 8000, 8000, 11025, 16000, 22050, 44100, 48000, 96000, 192000, 384000});
    plan.format = dice.pick(
        {abi::format_s16, abi::format_s16, abi::format_s24, abi::format_s24_3, abi::format_s32, abi::format_float});
    plan.channels = dice.pick<std::uint32_t>({1, 2, 2, 2, 2, 3, 6, 8});
    if (dice.one_in(40))
        plan.channels = 32;
    plan.period = static_cast<std::uint32_t>(dice.between(32, plan.rate / 40 + 32));
    const std::uint32_t least = std::max(4 * plan.period, plan.rate / 20);
    plan.ring = static_cast<std::uint32_t>(dice.between(least, least + plan.rate / 4));
    plan.clip = dice.one_in(3) ? abi::clip_soft : abi::clip_hard;
    plan.dither = dice.one_in(3) && plan.format != abi::format_float ? abi::dither_tpdf : abi::dither_none;
    plan.card.ppm = dice.one_in(3) ? 0 : dice.between(-100, 100);
    plan.card.jitter_ns = dice.pick<std::int64_t>({0, 20 * us, 100 * us, 300 * us});
    plan.card.publish_ns = dice.pick<std::int64_t>({0, 5 * us, 50 * us});
    plan.card.by_periods = dice.one_in(4);
    plan.card.has_timer = !dice.one_in(4);
    plan.card.fifo_frames = plan.card.by_periods ? 0 : static_cast<std::uint32_t>(dice.below(margin_of(plan) / 4));
    plan.card.boundary_bits = dice.pick({62u, 62u, 31u, 20u});
    plan.latency = dice.one_in(2) ? 0 : static_cast<std::uint32_t>(dice.below(plan.rate / 100));
}

void choose_tempers(Plan& plan, Dice& dice)
{
    const std::int64_t margin_ns = std::int64_t{margin_of(plan)} * second / plan.rate;
    plan.program.steps = plan.engine.steps = plan.server.steps =
        static_cast<std::uint32_t>(dice.pick({20, 60, 200, 600}));
    plan.program.hiccup = plan.engine.hiccup = plan.server.hiccup =
        static_cast<std::uint32_t>(dice.pick({20, 100, 500}));
    plan.program.hiccup_ns = plan.engine.hiccup_ns = plan.server.hiccup_ns = margin_ns / 3;
    const std::int64_t ring_ns = std::int64_t{plan.ring} * second / plan.rate;
    if (dice.one_in(2)) {
        plan.program.stop = static_cast<std::uint32_t>(dice.pick({300, 1000, 4000}));
        plan.program.stop_ns = dice.pick({20 * ms, ring_ns * 5 / 4, ring_ns * 3, second});
    }
    if (dice.one_in(3))
        plan.program.death = static_cast<std::uint32_t>(dice.pick({2000, 8000, 30000}));
    if (dice.one_in(4)) {
        plan.engine.stop = static_cast<std::uint32_t>(dice.pick({500, 3000}));
        plan.engine.stop_ns = dice.pick({10 * ms, 20 * ms, ring_ns / 4});
    }
    plan.engine.latency_ns = 30 * us;
}

bool serverless(const Plan& plan)
{
    return plan.misfortune == Misfortune::server_stops || plan.misfortune == Misfortune::server_dies;
}

void choose_misfortune(Plan& plan, Dice& dice, const std::string& asked)
{
    using enum Misfortune;
    const auto chosen = dice.one_in(2) ? none
                                       : dice.pick({stops, stops, fails, jumps, unplugged, long_sleeps, late_frames,
                                                    turns, server_stops, server_stops, server_dies, server_dies});
    plan.misfortune = chosen;
    for (int i = 0; i <= static_cast<int>(server_dies); i++)
        if (asked == misfortune_name(static_cast<Misfortune>(i)))
            plan.misfortune = static_cast<Misfortune>(i);
    const bool sleeps = plan.misfortune == long_sleeps || plan.misfortune == late_frames || plan.misfortune == turns;
    if (plan.misfortune != none && !sleeps)
        plan.is_virtual = false;
    if (plan.misfortune == late_frames || plan.misfortune == turns)
        plan.card.boundary_bits = 62; // nobody looks at its pointer for longer than it would take to come round
    if (serverless(plan)) {           // it is the server's misfortune, not the programs'
        plan.program.stop = plan.program.death = 0;
        plan.engine.stop = plan.misfortune == server_stops ? plan.engine.stop : 0;
        plan.engine.stop_ns = 2 * second;
    }
    if (plan.is_virtual) {
        plan.card = {};
        plan.latency = 0;
    }
}

Plan make_plan(const RunOptions& options)
{
    Dice dice(options.seed);
    Plan plan;
    choose_device(plan, dice);
    choose_tempers(plan, dice);
    plan.players = static_cast<unsigned>(dice.pick({1, 2, 3, 4, 8, 8, 12}));
    plan.player.max_channels = plan.channels > 8 && dice.one_in(2) ? 2 : plan.channels;
    plan.player.max_buffer = static_cast<std::uint32_t>(dice.between(plan.rate / 50 + 512, plan.rate / 2 + 512));
    plan.player.eager = dice.one_in(4);
    plan.gain_mean_ns = dice.pick({50 * ms, 300 * ms, 2 * second});
    choose_misfortune(plan, dice, options.kind);
    if (dice.one_in(2) && !serverless(plan)) {
        plan.holds.one_in = static_cast<std::uint32_t>(dice.pick({20, 100, 500}));
        const std::int64_t ring_ns = std::int64_t{plan.ring} * second / plan.rate;
        plan.holds.most_ns = std::max(20 * ms, dice.pick({20 * ms, 50 * ms, ring_ns * 5 / 4, ring_ns * 3}));
    }
    plan.player.other_rates = dice.one_in(4) || options.other_rates;
    plan.text = fmt::format(
        "{} ({}) {} Hz {} {} channels, period {} ring {} margin {}; {} players{}, buffers up to {}\n"
        "card: {} ppm, jitter {} us, {}, fifo {}, {}, boundary 2^{}, latency {}\n"
        "steps {}, hiccups 1/{} {} us; stops 1/{} {} ms; deaths 1/{}; engine stops 1/{} {} ms; holds 1/{} {} ms\n",
        plan.is_virtual ? "virtual" : "card", misfortune_name(plan.misfortune), plan.rate,
        core::format_name(plan.format), plan.channels, plan.period, plan.ring, margin_of(plan), plan.players,
        plan.player.other_rates ? " at all rates" : "", plan.player.max_buffer, plan.card.ppm, plan.card.jitter_ns / us,
        plan.card.by_periods ? "by periods" : "exact", plan.card.fifo_frames,
        plan.card.has_timer ? "timer" : "no timer", plan.card.boundary_bits, plan.latency, plan.program.steps,
        plan.program.hiccup, plan.program.hiccup_ns / us, plan.program.stop, plan.program.stop_ns / ms,
        plan.program.death, plan.engine.stop, plan.engine.stop_ns / ms, plan.holds.one_in, plan.holds.most_ns / ms);
    return plan;
}

// How many times as much work a second of it is as one of 8 stereo programs at 8000 Hz; at least 1.
double expense(const Plan& plan)
{
    return std::max(1.0, static_cast<double>(plan.rate) * plan.channels * plan.players / (8000.0 * 2 * 8));
}

Ear::Truth truth_of(const Plan& plan)
{
    Ear::Truth truth{};
    truth.rate = plan.rate;
    truth.ring = plan.ring;
    truth.margin = margin_of(plan);
    // The ring, less two cycles and 1 ms; a cycle is 10 ms, or an eighth of a short ring.
    const std::uint32_t cycle = std::min(plan.rate / 100, plan.ring / 8);
    truth.reach = plan.ring - std::min(2 * cycle + plan.rate / 1000, plan.ring / 2);
    truth.latency = plan.latency;
    truth.is_virtual = plan.is_virtual;
    truth.tended = serverless(plan);
    truth.cycle = cycle;
    truth.sink = {plan.format, plan.channels, plan.clip == abi::clip_soft, plan.dither == abi::dither_tpdf};
    truth.fade = plan.rate * abi::fade_ms / 1000;
    truth.fifo = plan.card.fifo_frames;
    truth.lag = truth.lead = 1;
    if (!plan.is_virtual) {
        const double jitter = static_cast<double>(plan.card.jitter_ns) * plan.rate / 1e9;
        const double drift = 0.12 * plan.rate * static_cast<double>(std::abs(plan.card.ppm)) / 1e6;
        truth.lead = 2 + static_cast<std::uint32_t>(drift);
        truth.lag = 2 + static_cast<std::uint32_t>(drift + jitter) + (plan.card.by_periods ? plan.period : 0);
    }
    return truth;
}

server::DeviceShape shape_of(const Plan& plan)
{
    server::DeviceShape shape{};
    shape.kind = abi::device_kernel;
    shape.format = plan.format;
    shape.channels = plan.channels;
    shape.rate = plan.rate;
    shape.period_frames = plan.period;
    shape.ring_frames = plan.ring;
    shape.latency_frames = plan.latency;
    shape.fetch_frames = plan.card.by_periods ? plan.period : 0;
    return shape;
}

void serve(const Plan& plan)
{
    server::Options options;
    options.wishes.device = plan.is_virtual ? "virtual" : "hw:0,0";
    if (plan.is_virtual)
        options.wishes.output = '-';
    options.wishes.format = plan.format;
    options.wishes.channels = plan.channels;
    options.wishes.rate = plan.rate;
    options.wishes.period_frames = plan.period;
    options.wishes.buffer_frames = plan.ring;
    options.arena_bytes = 16u << 20;
    options.clip = plan.clip;
    options.dither = plan.dither;
    const auto listener = std::make_shared<Listener>();
    machine().listener = listener;
    server::Control control(options, server::Listener::passed(os::Descriptor(world->open_fd(listener))), false);
    const os::Descriptor signals(world->open_fd(std::make_shared<Object>()));
    control.run(signals.get());
    if (!machine().device_gone)
        fail("the server has ended");
    machine().listener = nullptr;
}

class Stage {
public:
    explicit Stage(const Plan& plan) : plan_(plan) {}

    void begin()
    {
        const std::uint32_t process = world->new_process();
        machine().programs[process] = {"ringmixd"};
        machine().server = process;
        machine().engine_temper = plan_.engine;
        world->spawn("ringmix-control", process, [this] { serve(plan_); }).temper = plan_.server;
        for (unsigned i = 0; i < plan_.players; i++)
            enter(i);
        const std::uint32_t mixer = world->new_process();
        machine().programs[mixer] = {"ringmixctl"};
        const std::uint64_t seed = world->dice().next();
        world->spawn("mixer", mixer, [this, seed] {
            world->sleep_until(world->now() + 10 * ms);
            mix_gains(seed, plan_.gain_mean_ns);
        });
        world->on_death = [this](std::uint32_t dead) { bury(dead); };
    }

private:
    void enter(unsigned index)
    {
        const std::uint32_t process = world->new_process();
        machine().programs[process] = {fmt::format("player{}", index)};
        const std::uint64_t seed = world->dice().next();
        players_[process] = index;
        Fibre& fibre = world->spawn(fmt::format("player{}", index), process, [this, index, seed] {
            world->sleep_until(world->now() + 10 * ms);
            Player(index, seed, plan_.player).run();
        });
        fibre.temper = plan_.program;
    }

    void bury(std::uint32_t process)
    {
        for (const auto& death : machine().deaths)
            if (death->process == process)
                world->changed(*death);
        if (Score* score = machine().programs[process].score; score != nullptr)
            score->die();
        machine().programs[process].score = nullptr;
        const auto player = players_.find(process);
        if (player != players_.end()) {
            const unsigned index = player->second;
            world->at(world->now() + world->dice().between(0, 500 * ms), [this, index] { enter(index); });
        }
    }

    const Plan& plan_;
    std::map<std::uint32_t, unsigned> players_;
};

void ignore_messages(const char*, int, const char*, int, const char*, ...) {}

} // namespace

// At a point of the posting protocol. Who was stopped before his sums were stored is often stopped behind that too.
void perhaps_hold(const Holds& holds, std::uint32_t point)
{
    static Dice dice(world->seed() + 1);
    static std::map<std::uint32_t, bool> held; // fibres, in this batch
    const Fibre* fibre = world->current();
    if (holds.one_in == 0 || fibre == nullptr || !fibre->interruptible || fibre->process == machine().server)
        return;
    bool& again = held[fibre->number];
    if (point == core::test_settled)
        again = false;
    else if (dice.one_in(again ? 2 : holds.one_in)) {
        again = point != core::test_stored;
        ear->counts.stops++;
        world->stop_for(dice.between(ms, holds.most_ns));
    }
}

RunResult run_scenario(const RunOptions& options)
{
    static Plan plan;
    plan = make_plan(options);
    static World the_world(options.seed);
    the_world.verbose = options.verbose;
    world->describe = [&] { return plan.text; };
    static Ear the_ear(truth_of(plan));
    ear = &the_ear;
    snd_lib_error_set_handler(ignore_messages);
    ringmix_test_hook = [](std::uint32_t point, std::uint64_t from, std::uint32_t frames) {
        ear->batch(point, from, frames);
        perhaps_hold(plan.holds, point);
        step();
        if (point == core::test_posting || point == core::test_stored)
            ear->round_begins();
    };
    if (!plan.is_virtual) {
        card = std::make_shared<Card>(shape_of(plan), plan.card);
        card->heard = [](std::uint64_t frame, const std::byte* bytes) {
            ear->heard_of_card(card->epoch(), frame, bytes);
        };
    }
    if (card)
        card->restarted = [] { ear->disturbed(60 * ms); };
    world->on_time = [] {
        ear->time_passes();
        if (card)
            card->advance();
    };
    world->on_switch = [] { ear->somebody_runs(); };
    Stage stage(plan);
    stage.begin();
    plan_misfortunes(plan.misfortune, options.exact ? options.seconds : options.seconds / expense(plan));
    const double seconds = options.exact ? options.seconds : options.seconds / expense(plan);
    world->run_until(static_cast<std::int64_t>(seconds * 1e9) +
                     (plan.misfortune == Misfortune::unplugged ? 2 * second : 0));
    check_misfortunes(plan.misfortune);
    return {the_ear.counts, seconds, world->switches};
}

} // namespace ringmix::sim
