// SPDX-License-Identifier: LGPL-2.1-or-later

#include "tests/sim/pcm.h"

#include "core/channel_map.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <poll.h>

namespace ringmix::sim {

namespace {

snd_pcm_format_t format_of(std::uint32_t format)
{
    switch (format) {
    case abi::format_u8:
        return SND_PCM_FORMAT_U8;
    case abi::format_s16:
        return SND_PCM_FORMAT_S16_LE;
    case abi::format_s24:
        return SND_PCM_FORMAT_S24_LE;
    case abi::format_s24_3:
        return SND_PCM_FORMAT_S24_3LE;
    case abi::format_s32:
        return SND_PCM_FORMAT_S32_LE;
    default:
        return SND_PCM_FORMAT_FLOAT_LE;
    }
}

std::string configuration(const std::string& name, const PcmWishes& wishes)
{
    std::string text = fmt::format("socket \"/sim\"\nautostart no\nclient_name \"{}\"\n", name);
    if (wishes.only_device_rate)
        text += "rates \"device\"\n";
    if (wishes.gain_db != 0)
        text += fmt::format("gain_db {}\n", wishes.gain_db);
    if (!wishes.map.empty()) {
        text += "map [";
        for (const unsigned channel : wishes.map)
            text += fmt::format(" {}", channel);
        text += " ]\n";
    }
    return text;
}

} // namespace

void Pcm::note(const char* what, std::int64_t a, std::int64_t b) const
{
    world->note(what, static_cast<std::uint64_t>(a), static_cast<std::uint64_t>(b), score_ ? score_->appl() : 0);
    ear->counts.calls++;
}

bool Pcm::open(const std::string& name, const PcmWishes& wishes)
{
    name_ = name;
    wishes_ = wishes;
    snd_config_t* conf = nullptr;
    const std::string text = configuration(name, wishes);
    if (snd_config_load_string(&conf, text.c_str(), text.size()) < 0)
        fail("the configuration of {} is none", name);
    error = -_snd_pcm_ringmix_open(&pcm_, name.c_str(), nullptr, conf, SND_PCM_STREAM_PLAYBACK, SND_PCM_NONBLOCK);
    snd_config_delete(conf);
    if (error != 0) {
        pcm_ = nullptr;
        return false;
    }
    const auto slot = machine().slots.at(world->current_process());
    const auto gain = static_cast<std::uint32_t>(std::lround(std::pow(10.0, wishes.gain_db / 20) * abi::unity_gain));
    score_ = &ear->add_score(name, wishes.voice, slot, gain);
    score_->map.fill(abi::no_channel);
    machine().programs[world->current_process()].score = score_;
    note("opens, slot", slot);
    return true;
}

int Pcm::set_parameters()
{
    snd_pcm_hw_params_t* hw = nullptr;
    snd_pcm_hw_params_alloca(&hw);
    snd_pcm_hw_params_any(pcm_, hw);
    int result = snd_pcm_hw_params_set_access(pcm_, hw, wishes_.access);
    if (result >= 0)
        result = snd_pcm_hw_params_set_format(pcm_, hw, format_of(wishes_.voice.format));
    if (result >= 0)
        result = snd_pcm_hw_params_set_channels(pcm_, hw, wishes_.voice.channels);
    if (result >= 0)
        result = snd_pcm_hw_params_set_rate(pcm_, hw, wishes_.rate, 0);
    if (result >= 0)
        result = snd_pcm_hw_params_set_period_size_near(pcm_, hw, &wishes_.period, nullptr);
    if (result >= 0)
        result = snd_pcm_hw_params_set_buffer_size_near(pcm_, hw, &wishes_.buffer);
    if (result >= 0)
        result = snd_pcm_hw_params(pcm_, hw);
    if (result < 0)
        return result;
    snd_pcm_hw_params_get_buffer_size(hw, &wishes_.buffer);
    snd_pcm_sw_params_t* sw = nullptr;
    snd_pcm_sw_params_alloca(&sw);
    snd_pcm_sw_params_current(pcm_, sw);
    snd_pcm_uframes_t boundary = 0;
    snd_pcm_sw_params_get_boundary(sw, &boundary);
    wishes_.stop_threshold = wishes_.goes_on               ? boundary
                             : wishes_.stop_threshold == 0 ? wishes_.buffer
                                                           : wishes_.stop_threshold;
    snd_pcm_sw_params_set_start_threshold(pcm_, sw, std::min(wishes_.start_threshold, boundary));
    snd_pcm_sw_params_set_stop_threshold(pcm_, sw, wishes_.stop_threshold);
    wishes_.avail_min = std::clamp<snd_pcm_uframes_t>(wishes_.avail_min, 1, wishes_.buffer);
    snd_pcm_sw_params_set_avail_min(pcm_, sw, wishes_.avail_min);
    const int result_sw = snd_pcm_sw_params(pcm_, sw);
    snd_pcm_sw_params_get_avail_min(sw, &wishes_.avail_min); // not below the period, for libasound
    return result_sw;
}

bool Pcm::configure(const PcmWishes& wishes)
{
    const std::vector<unsigned> map = wishes_.map; // of the opening
    wishes_ = wishes;
    wishes_.map = map;
    note("hw_params, buffer", static_cast<std::int64_t>(wishes.buffer));
    error = -set_parameters();
    if (error > 0)
        return false;
    const Sink& sink = ear->truth().sink;
    score_->map.fill(abi::no_channel);
    for (unsigned c = 0; c < map.size(); c++)
        score_->map[map[c]] = static_cast<std::uint8_t>(c);
    if (map.empty() && wishes_.voice.channels == 1) // mono is heard on both front channels
        for (unsigned d = 0; d < std::min(sink.channels, 2u); d++)
            score_->map[d] = 0;
    for (unsigned c = 0; map.empty() && wishes_.voice.channels > 1 && c < wishes_.voice.channels; c++)
        score_->map[c] = static_cast<std::uint8_t>(c);
    score_->configure(wishes_.voice, wishes_.rate, wishes_.buffer, wishes_.stop_threshold, !wishes_.goes_on);
    score_->prepare();
    last_heard_ = last_place_ = INT64_MIN;
    return true;
}

void Pcm::close()
{
    note("closes");
    if (score_ != nullptr)
        score_->begin(Ask::close);
    snd_pcm_close(pcm_);
    pcm_ = nullptr;
    if (score_ != nullptr) {
        if (lost_)
            score_->end_nothing();
        else
            score_->end_stop(true);
        score_->gone();
    }
    machine().programs[world->current_process()].score = score_ = nullptr;
    lost_ = false;
}

void Pcm::hw_free()
{
    note("hw_free");
    score_->begin(Ask::close);
    const int result = snd_pcm_hw_free(pcm_);
    if (follow(result))
        score_->end_stop(true);
}

// After a call: whether the device is lost, and (in a call that looks) whether an underrun was found.
bool Pcm::follow(int result)
{
    if (state() != SND_PCM_STATE_DISCONNECTED && result != -ENODEV)
        return true;
    if (!machine().device_gone)
        fail("{}: the device is lost ({}), and it is not", name_, result);
    lost_ = true;
    score_->end_nothing();
    return false;
}

void Pcm::prepare()
{
    note("prepares");
    score_->begin(Ask::close); // it may still run, for libasound: after an underrun nobody has looked for
    const int result = snd_pcm_prepare(pcm_);
    if (!follow(result))
        return;
    score_->end_stop(true);
    if (result < 0)
        fail("{}: prepare gives {}", name_, result);
    score_->prepare();
    draining_ = false;
    last_heard_ = last_place_ = INT64_MIN;
}

void Pcm::encode(std::uint64_t position, snd_pcm_uframes_t frames, std::uint32_t version)
{
    const std::size_t frame_bytes = bytes_of_sample(wishes_.voice.format) * wishes_.voice.channels;
    bytes_.resize(std::max<std::size_t>(bytes_.size(), frames * frame_bytes + 8));
    for (snd_pcm_uframes_t i = 0; i < frames; i++)
        speak(wishes_.voice, version, position + i, bytes_.data() + i * frame_bytes);
}

snd_pcm_sframes_t Pcm::write_plain(snd_pcm_uframes_t frames)
{
    if (wishes_.access != SND_PCM_ACCESS_RW_NONINTERLEAVED)
        return snd_pcm_writei(pcm_, bytes_.data(), frames);
    const std::size_t bytes = bytes_of_sample(wishes_.voice.format);
    const unsigned channels = wishes_.voice.channels;
    planes_.resize(channels);
    void* planes[abi::max_channels];
    for (unsigned c = 0; c < channels; c++) {
        planes_[c].resize(frames * bytes + 8);
        for (snd_pcm_uframes_t i = 0; i < frames; i++)
            std::copy_n(bytes_.data() + (i * channels + c) * bytes, bytes, planes_[c].data() + i * bytes);
        planes[c] = planes_[c].data();
    }
    return snd_pcm_writen(pcm_, planes, frames);
}

snd_pcm_sframes_t Pcm::write_mapped(snd_pcm_uframes_t frames)
{
    const snd_pcm_sframes_t room = snd_pcm_avail_update(pcm_);
    if (room < 0)
        return room;
    const std::size_t frame_bytes = bytes_of_sample(wishes_.voice.format) * wishes_.voice.channels;
    frames = std::min(frames, static_cast<snd_pcm_uframes_t>(room));
    snd_pcm_uframes_t done = 0;
    while (done < frames) {
        const snd_pcm_channel_area_t* areas = nullptr;
        snd_pcm_uframes_t offset = 0, count = frames - done;
        if (snd_pcm_mmap_begin(pcm_, &areas, &offset, &count) < 0 || count == 0)
            break;
        std::copy_n(bytes_.data() + done * frame_bytes, count * frame_bytes,
                    static_cast<std::byte*>(areas[0].addr) + offset * frame_bytes);
        const snd_pcm_sframes_t taken = snd_pcm_mmap_commit(pcm_, offset, count);
        if (taken < 0)
            return done > 0 ? static_cast<snd_pcm_sframes_t>(done) : taken;
        done += static_cast<snd_pcm_uframes_t>(taken);
    }
    return done > 0 ? static_cast<snd_pcm_sframes_t>(done) : -EAGAIN;
}

snd_pcm_sframes_t Pcm::write(snd_pcm_uframes_t frames)
{
    const std::uint64_t position = score_->appl();
    const std::uint32_t version = score_->next_version();
    if (score_->running() && !score_->floating()) { // there is hardly room for more: spares making it
        const std::int64_t room = score_->room_high() + score_->frames_in(ear->frames_of(10 * ms)) + 1;
        frames =
            std::clamp<snd_pcm_uframes_t>(frames, 1, static_cast<snd_pcm_uframes_t>(std::max<std::int64_t>(room, 1)));
    }
    if (score_->converts()) { // in one piece: what is heard of it while the call stands depends on where it ends
        const snd_pcm_uframes_t in_one = wishes_.buffer - position % wishes_.buffer;
        const auto room =
            score_->running() ? static_cast<snd_pcm_uframes_t>(std::max<std::int64_t>(score_->room_low(), 1)) : in_one;
        frames = std::min({frames, in_one, room});
    }
    encode(position, frames, version);
    const bool prepared = state() == SND_PCM_STATE_PREPARED;
    const bool due = score_->xrun_due();
    const std::int64_t began = world->now();
    score_->begin_write(position, frames, version, prepared);
    const snd_pcm_sframes_t taken =
        wishes_.access == SND_PCM_ACCESS_MMAP_INTERLEAVED ? write_mapped(frames) : write_plain(frames);
    note("writes, took", static_cast<std::int64_t>(frames), taken);
    if (!follow(static_cast<int>(std::min<snd_pcm_sframes_t>(taken, 0))))
        return -ENODEV;
    const snd_pcm_state_t after = state();
    const bool found = after == SND_PCM_STATE_XRUN;
    if (taken < 0 && taken != -EAGAIN && !found)
        fail("{}: write gives {} in state {}", name_, taken, snd_pcm_state_name(after));
    if (due && !found && ear->quiet_since(began))
        fail("{}: an underrun is due and is not reported", name_);
    score_->end_write(static_cast<std::uint64_t>(std::max<snd_pcm_sframes_t>(taken, 0)),
                      after == SND_PCM_STATE_RUNNING || found, found);
    if (found)
        score_->end_xrun();
    return taken;
}

void Pcm::start()
{
    note("starts");
    score_->begin_start(Ask::start);
    const int result = snd_pcm_start(pcm_);
    if (!follow(result))
        return;
    if (result == 0)
        score_->end_start();
    else
        score_->end_nothing();
}

void Pcm::pause()
{
    note("pauses");
    score_->begin(Ask::pause);
    const int result = snd_pcm_pause(pcm_, 1);
    if (!follow(result))
        return;
    if (result < 0)
        fail("{}: pause gives {}", name_, result);
    score_->end_stop(false);
    snd_pcm_sframes_t delay = 0;
    if (snd_pcm_delay(pcm_, &delay) < 0)
        fail("{}: no delay while it is paused", name_);
    note("paused, delay", delay, static_cast<std::int64_t>(score_->floor()));
    score_->paused_at(static_cast<std::int64_t>(score_->appl()) - delay);
    note("paused, delay", delay);
    last_heard_ = INT64_MIN;
}

void Pcm::resume()
{
    note("resumes");
    score_->begin(Ask::start);
    const int result = snd_pcm_pause(pcm_, 0);
    if (!follow(result))
        return;
    if (result < 0)
        fail("{}: resume gives {}", name_, result);
    score_->end_start();
}

void Pcm::drop()
{
    note("drops");
    score_->begin(Ask::drop);
    const int result = snd_pcm_drop(pcm_);
    if (!follow(result))
        return;
    score_->end_stop(true);
    draining_ = false;
}

} // namespace ringmix::sim
