// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Every access mode and every format: what the device plays is what was written, frame for frame.

#include "support.h"

#include <algorithm>
#include <array>
#include <cstring>

using namespace ringmix::test;

namespace {

constexpr snd_pcm_access_t accesses[] = {SND_PCM_ACCESS_RW_INTERLEAVED, SND_PCM_ACCESS_RW_NONINTERLEAVED,
                                         SND_PCM_ACCESS_MMAP_INTERLEAVED, SND_PCM_ACCESS_MMAP_NONINTERLEAVED};
constexpr snd_pcm_format_t formats[] = {SND_PCM_FORMAT_U8,      SND_PCM_FORMAT_S16_LE, SND_PCM_FORMAT_S24_LE,
                                        SND_PCM_FORMAT_S24_3LE, SND_PCM_FORMAT_S32_LE, SND_PCM_FORMAT_FLOAT_LE};

snd_pcm_sframes_t write_planes(snd_pcm_t* pcm, const Signal& signal, std::uint64_t from, std::uint64_t frames)
{
    std::vector<std::vector<std::byte>> planes(signal.channels());
    std::vector<void*> pointers;
    for (unsigned c = 0; c < signal.channels(); c++) {
        planes[c].resize(frames * signal.sample_bytes() + 3); // S24_3: room for put()
        for (std::uint64_t i = 0; i < frames; i++)
            signal.put(planes[c].data() + i * signal.sample_bytes(), from + i, c);
        pointers.push_back(planes[c].data());
    }
    return snd_pcm_writen(pcm, pointers.data(), frames);
}

// One turn of mmap_begin, fill, mmap_commit; starts the stream when the buffer is full.
snd_pcm_sframes_t write_mapped(const Pcm& pcm, const Signal& signal, std::uint64_t from, std::uint64_t frames)
{
    snd_pcm_sframes_t avail = snd_pcm_avail_update(pcm);
    REQUIRE(avail >= 0);
    if (avail == 0) {
        if (pcm.state() == SND_PCM_STATE_PREPARED)
            REQUIRE(snd_pcm_start(pcm) == 0);
        REQUIRE(snd_pcm_wait(pcm, patience_ms) == 1);
        return 0;
    }
    const snd_pcm_channel_area_t* areas = nullptr;
    snd_pcm_uframes_t offset = 0, count = frames;
    REQUIRE(snd_pcm_mmap_begin(pcm, &areas, &offset, &count) == 0);
    for (unsigned c = 0; c < signal.channels(); c++)
        for (std::uint64_t i = 0; i < count; i++) {
            std::byte* base = static_cast<std::byte*>(areas[c].addr);
            signal.put(base + (areas[c].first + (offset + i) * areas[c].step) / 8, from + i, c);
        }
    return snd_pcm_mmap_commit(pcm, offset, count);
}

void play(const Pcm& pcm, const Signal& signal, std::uint64_t frames)
{
    constexpr std::array<std::uint64_t, 4> chunks{100, 333, 1, 480};
    std::uint64_t done = 0;
    for (unsigned turn = 0; done < frames; turn++) {
        const std::uint64_t chunk = std::min(chunks[turn % chunks.size()], frames - done);
        snd_pcm_sframes_t taken = 0;
        if (pcm.setup().access == SND_PCM_ACCESS_RW_INTERLEAVED)
            taken = snd_pcm_writei(pcm, signal.frames(done, chunk).data(), chunk);
        else if (pcm.setup().access == SND_PCM_ACCESS_RW_NONINTERLEAVED)
            taken = write_planes(pcm, signal, done, chunk);
        else
            taken = write_mapped(pcm, signal, done, chunk);
        REQUIRE(taken >= 0);
        done += static_cast<std::uint64_t>(taken);
    }
    REQUIRE(snd_pcm_drain(pcm) == 0);
    CHECK(pcm.state() == SND_PCM_STATE_SETUP);
}

} // namespace

TEST_CASE("every access mode and format is played exactly")
{
    constexpr std::uint64_t frames = 12000;
    Server server;
    std::uint32_t seed = 1;
    for (const snd_pcm_access_t access : accesses)
        for (const snd_pcm_format_t format : formats) {
            CAPTURE(snd_pcm_access_name(access));
            CAPTURE(snd_pcm_format_name(format));
            Setup setup;
            setup.access = access;
            setup.format = format;
            setup.buffer = 9600;
            Pcm pcm(server, std::to_string(seed));
            pcm.configure(setup);
            play(pcm, Signal(format, 2, seed++), frames);
        }

    const Recording recording = server.recording(seed - 1);
    seed = 1;
    std::uint64_t silent_from = 0;
    for (const snd_pcm_access_t access : accesses)
        for (const snd_pcm_format_t format : formats) {
            CAPTURE(snd_pcm_access_name(access));
            CAPTURE(snd_pcm_format_name(format));
            const Recording::Stream stream = recording.only(std::to_string(seed));
            const std::uint64_t first = stream.first;
            CHECK(recording.differs(first, Signal(format, 2, seed++), 0, frames) == -1);
            CHECK(stream.last == static_cast<std::int64_t>(first + frames) - 1);
            CHECK(recording.sounds(silent_from, first) == -1);
            silent_from = first + frames;
        }
    CHECK(recording.sounds(silent_from, recording.frames()) == -1);
}

TEST_CASE("several PCMs of one program are added up exactly")
{
    constexpr std::uint64_t frames = 4800;
    Server server;
    const Signal loud(SND_PCM_FORMAT_S32_LE, 2, 1), soft(SND_PCM_FORMAT_U8, 2, 2), third(SND_PCM_FORMAT_S16_LE, 2, 3);
    Pcm a(server, "a"), b(server, "b"), c(server, "c");
    Setup setup;
    setup.buffer = frames;
    setup.start_threshold = by_hand;
    setup.format = SND_PCM_FORMAT_S32_LE;
    a.configure(setup);
    setup.format = SND_PCM_FORMAT_U8;
    b.configure(setup);
    setup.format = SND_PCM_FORMAT_S16_LE;
    c.configure(setup);
    a.write(loud, 0, frames);
    b.write(soft, 0, frames);
    c.write(third, 0, frames);
    for (const Pcm* pcm : {&a, &b, &c})
        REQUIRE(snd_pcm_start(*pcm) == 0);
    for (const Pcm* pcm : {&a, &b, &c})
        REQUIRE(snd_pcm_drain(*pcm) == 0);

    const Recording recording = server.recording(3);
    REQUIRE(recording.streams.size() == 3);
    std::int64_t wrong = -1;
    for (std::uint64_t f = 0; f < recording.frames() && wrong < 0; f++)
        for (unsigned channel = 0; channel < 2; channel++) {
            std::int64_t sum = 0;
            const Signal* signals[] = {&loud, &soft, &third};
            for (unsigned s = 0; s < 3; s++) {
                const std::uint64_t first = recording.only(std::string(1, static_cast<char>('a' + s))).first;
                if (f >= first && f < first + frames)
                    sum += signals[s]->expected(f - first, channel);
            }
            sum = std::clamp<std::int64_t>(sum, INT32_MIN, INT32_MAX);
            if (recording.samples[f * 2 + channel] != sum)
                wrong = static_cast<std::int64_t>(f);
        }
    CHECK(wrong == -1);
}
