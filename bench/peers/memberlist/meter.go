package main

import (
	"math"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// meter counts from its construction on: CPU of the whole process, and what the nodes sent.
type meter struct {
	swarm   *swarm
	began   time.Time
	cpu     float64
	packets int64
	bytes   int64
	streams int64
}

type metered struct {
	elapsed time.Duration
	cpu     float64
	packets int64
	bytes   int64
	streams int64
}

func newMeter(s *swarm) meter {
	t := &s.traffic
	return meter{s, time.Now(), cpuSeconds(), t.packets.Load(), t.bytes.Load(), t.streamBytes.Load()}
}

func (m meter) stop() metered {
	t := &m.swarm.traffic
	return metered{
		elapsed: time.Since(m.began),
		cpu:     cpuSeconds() - m.cpu,
		packets: t.packets.Load() - m.packets,
		bytes:   t.bytes.Load() - m.bytes,
		streams: t.streamBytes.Load() - m.streams,
	}
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	seconds := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return seconds(usage.Utime) + seconds(usage.Stime)
}

func rssBytes() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

// cleanRssBytes is what is left once the garbage is collected and given back.
func cleanRssBytes() int64 {
	debug.FreeOSMemory()
	return rssBytes()
}

func megabytes(bytes int64) float64 {
	return round(float64(bytes) / (1 << 20))
}

func milliseconds(d time.Duration) float64 {
	return round(float64(d) / float64(time.Millisecond))
}

func round(value float64) float64 {
	return math.Round(value*1000) / 1000
}

// spreadOf takes percentiles that were measured, not made up between two.
func spreadOf(values []float64) map[string]float64 {
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	at := func(share float64) float64 {
		if len(sorted) == 0 {
			return 0
		}
		return round(sorted[max(0, int(math.Ceil(share*float64(len(sorted))))-1)])
	}
	return map[string]float64{"p50": at(0.5), "p99": at(0.99), "max": at(1)}
}
