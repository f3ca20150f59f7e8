// SPDX-License-Identifier: LGPL-2.1-or-later
//
// player.cpp: plays noise through libasound with the habits of no program in particular, and of all:
// writes of one frame and of a whole buffer, rewinds, pauses, drops, drains, underruns, other formats.
// tests/stress/run starts it. All choices follow from the seed, though not the moments at which they
// are made.
//
//   player --seed N --seconds S --journal FILE --node NAME:FEWEST:MOST ... [--clock START_NS]
//          [--rate HZ] [--stops] [--kills]

#include "hand.h"
#include "weapons.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <random>
#include <string>
#include <unistd.h>
#include <vector>

namespace ringmix::stress {

namespace {

struct Node {
    std::string name;
    unsigned fewest; // channels
    unsigned most;
};

struct Options {
    std::uint64_t seed = 1;
    double seconds = 5;
    const char* journal = nullptr;
    std::vector<Node> nodes;
    Clock clock;
    Arms arms;
};

void sleep_ns(std::int64_t ns)
{
    const timespec time{ns / 1'000'000'000, ns % 1'000'000'000};
    ::nanosleep(&time, nullptr);
}

class Player {
public:
    explicit Player(const Options& options)
        : options_(options), journal_(options.journal), hand_(journal_), dice_(options.seed),
          end_ns_(now_ns() + static_cast<std::int64_t>(options.seconds * 1e9))
    {
        prepare_weapons(journal_, options.clock, options.arms, options.seed + 1);
    }

    int run();

private:
    bool time_left() const { return now_ns() < end_ns_ && !journal_.full(); }
    std::uint64_t up_to(std::uint64_t most) { return dice_() % (most + 1); }
    bool chance(unsigned percent) { return up_to(99) < percent; }
    // Small numbers and large ones are as likely.
    std::uint64_t size(std::uint64_t least, std::uint64_t most);
    std::uint64_t key() { return scattered(options_.seed ^ (++keys_ << 20)); }

    Shape choose_shape();
    void choose_mood();
    void act();
    void act_prepared();
    void act_running();
    void act_paused();
    void write_some(std::uint64_t most);
    void write_storm();
    void rewrite();
    void pause_and_resume();
    void calm_down();
    void end();

    Options options_;
    Journal journal_;
    Hand hand_;
    std::mt19937_64 dice_;
    std::int64_t end_ns_;
    std::uint64_t keys_ = 0;
    std::uint64_t largest_write_ = 1 << 20;
    unsigned rewinds_ = 10, pauses_ = 3, ends_ = 2, sleeps_ = 3; // per cent
};

std::uint64_t Player::size(std::uint64_t least, std::uint64_t most)
{
    if (most <= least)
        return least;
    const double span = std::log2(static_cast<double>(most) / static_cast<double>(least));
    const double value = static_cast<double>(least) * std::exp2(span * static_cast<double>(up_to(10000)) / 10000.0);
    return std::clamp(static_cast<std::uint64_t>(value), least, most);
}

Shape Player::choose_shape()
{
    Shape shape;
    shape.node_number = static_cast<int>(up_to(options_.nodes.size() - 1));
    const Node& node = options_.nodes[static_cast<std::size_t>(shape.node_number)];
    shape.node = node.name;
    shape.channels = node.fewest + static_cast<unsigned>(up_to(node.most - node.fewest));
    shape.rate = static_cast<unsigned>(options_.clock.rate);
    shape.format = static_cast<int>(up_to(formats - 1));
    shape.access = static_cast<snd_pcm_access_t>(
        std::array{SND_PCM_ACCESS_RW_INTERLEAVED, SND_PCM_ACCESS_RW_NONINTERLEAVED, SND_PCM_ACCESS_MMAP_INTERLEAVED,
                   SND_PCM_ACCESS_MMAP_NONINTERLEAVED}[up_to(3)]);
    shape.buffer = size(chance(15) ? 200 : 2000, 40000);
    shape.period = size(16, shape.buffer / 2);
    shape.start_threshold = chance(60) ? size(1, shape.buffer) : shape.buffer * 100; // or by hand
    shape.stops_at_xrun = !chance(25);
    return shape;
}

// For some time: what it likes to do.
void Player::choose_mood()
{
    largest_write_ = chance(30) ? size(1, 300) : 1 << 20;
    rewinds_ = chance(40) ? 30 : 5;
    pauses_ = chance(20) ? 15 : 2;
    ends_ = chance(20) ? 6 : 1;
    sleeps_ = chance(20) ? 5 : 1;
}

void Player::write_some(std::uint64_t most)
{
    most = std::min(most, largest_write_);
    hand_.write(chance(15) ? most : size(1, most), key());
}

// Many writes of few frames.
void Player::write_storm()
{
    for (std::uint64_t left = size(10, 300); left > 0 && hand_.state() == SND_PCM_STATE_RUNNING; left--) {
        if (hand_.room() < 8)
            return;
        hand_.write(size(1, 8), key());
    }
}

void Player::rewrite()
{
    const snd_pcm_sframes_t most = hand_.rewindable();
    if (most < 2)
        return;
    // All of it would take longer than the horizon waits; position 0 is where snd_pcm_reset() leads.
    std::uint64_t frames = chance(10) ? static_cast<std::uint64_t>(most) : size(1, static_cast<std::uint64_t>(most));
    frames = std::min(frames, static_cast<std::uint64_t>(std::max<std::int64_t>(hand_.position() - 1, 0)));
    if (frames == 0 || hand_.rewind(frames) <= 0)
        return;
    if (chance(10)) // and changes its mind
        hand_.forward(size(1, frames));
    else if (chance(90))
        hand_.write(chance(50) ? frames : size(1, frames), key());
}

// The server's log forgets a stream if another one begins and ends as well between two of its looks.
void Player::calm_down()
{
    constexpr std::int64_t look_ns = 60'000'000;
    if (const std::int64_t wait = hand_.started_ns() + look_ns - now_ns(); wait > 0)
        sleep_ns(wait);
}

void Player::pause_and_resume()
{
    if (hand_.pause() < 0 || hand_.state() != SND_PCM_STATE_PAUSED)
        return;
    if (chance(60))
        sleep_ns(static_cast<std::int64_t>(size(1, 200'000)) * 1000);
    act_paused();
}

void Player::act_prepared()
{
    const snd_pcm_sframes_t room = hand_.room();
    if (room < 0)
        return;
    if (hand_.position() > 0 && chance(25))
        return rewrite();
    if (hand_.position() > 0 && (room == 0 || chance(30))) {
        calm_down();
        hand_.start();
        return;
    }
    if (hand_.position() > 0 && chance(5)) {
        hand_.drop();
        return;
    }
    calm_down();
    if (room > 0)
        write_some(static_cast<std::uint64_t>(room));
}

void Player::act_paused()
{
    for (std::uint64_t n = up_to(3); n > 0 && hand_.state() == SND_PCM_STATE_PAUSED; n--) {
        if (const snd_pcm_sframes_t room = hand_.room(); room > 0 && chance(50))
            write_some(static_cast<std::uint64_t>(room));
        else
            rewrite();
    }
    if (hand_.state() != SND_PCM_STATE_PAUSED)
        return;
    if (chance(85)) {
        calm_down();
        hand_.resume();
    } else {
        hand_.drop();
    }
}

void Player::act_running()
{
    const std::uint64_t choice = up_to(99);
    std::uint64_t limit = rewinds_;
    if (choice < limit)
        return rewrite();
    if (choice < (limit += pauses_))
        return pause_and_resume();
    if (choice < (limit += ends_)) {
        if (chance(50))
            hand_.drain();
        else
            hand_.drop();
        return;
    }
    if (choice < (limit += sleeps_))
        return sleep_ns(static_cast<std::int64_t>(size(100, 500'000)) * 1000); // perhaps too long
    if (choice < (limit += 2)) {
        if (const snd_pcm_sframes_t room = hand_.room(); room > 0)
            hand_.forward(size(1, static_cast<std::uint64_t>(std::min<snd_pcm_sframes_t>(room, 500))));
        return;
    }
    if (choice < (limit += 3))
        return write_storm();
    const snd_pcm_sframes_t room = hand_.room();
    if (room > 0 && (chance(20) || room >= static_cast<snd_pcm_sframes_t>(hand_.shape().period)))
        write_some(std::min<std::uint64_t>(static_cast<std::uint64_t>(room), hand_.shape().buffer));
    else
        hand_.wait(100);
}

void Player::act()
{
    switch (hand_.state()) {
    case SND_PCM_STATE_PREPARED:
        return act_prepared();
    case SND_PCM_STATE_RUNNING:
        return act_running();
    case SND_PCM_STATE_PAUSED:
        return act_paused();
    default:
        hand_.prepare();
    }
}

void Player::end()
{
    journal_.begin(kind_end, 0, 0, 0).done.store(1);
    if (!hand_.is_open())
        return;
    if (chance(20))
        ::_exit(0); // without a word
    if (hand_.state() == SND_PCM_STATE_RUNNING && chance(60))
        hand_.drain();
    hand_.close();
}

int Player::run()
{
    while (time_left()) {
        if (!hand_.is_open()) {
            if (const int error = hand_.open(choose_shape()); error < 0) {
                std::fprintf(stderr, "cannot open: %s\n", snd_strerror(error));
                if (error != -ENOMEM && error != -EBUSY)
                    return 1;
                sleep_ns(20'000'000);
            }
            continue;
        }
        if (chance(2))
            choose_mood();
        if (up_to(999) < 3) {
            hand_.close();
            continue;
        }
        if (hand_.state() == SND_PCM_STATE_DISCONNECTED) {
            std::fprintf(stderr, "the device is lost\n");
            return 1;
        }
        act();
    }
    end();
    return 0;
}

Options parse(int argc, char** argv)
{
    Options options;
    for (int i = 1; i < argc; i++) {
        const std::string word = argv[i];
        const char* value = i + 1 < argc ? argv[i + 1] : "";
        if (word == "--stops" || word == "--kills") {
            (word == "--stops" ? options.arms.stops : options.arms.kills) = true;
            continue;
        }
        i++;
        if (word == "--seed")
            options.seed = std::strtoull(value, nullptr, 10);
        else if (word == "--seconds")
            options.seconds = std::atof(value);
        else if (word == "--journal")
            options.journal = value;
        else if (word == "--clock")
            options.clock.start_ns = std::atoll(value);
        else if (word == "--rate")
            options.clock.rate = std::atof(value);
        else if (char name[64]; word == "--node") {
            unsigned fewest = 0, most = 0;
            if (std::sscanf(value, "%63[^:]:%u:%u", name, &fewest, &most) == 3)
                options.nodes.push_back({name, fewest, most});
        }
    }
    if (options.journal == nullptr || options.nodes.empty()) {
        std::fprintf(stderr, "player: --journal and --node are needed\n");
        std::exit(2);
    }
    return options;
}

} // namespace

} // namespace ringmix::stress

int main(int argc, char** argv)
{
    ringmix::stress::Player player(ringmix::stress::parse(argc, argv));
    return player.run();
}
