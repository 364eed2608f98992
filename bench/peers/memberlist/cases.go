package main

import (
	"fmt"
	"math"
	"time"
)

// settleTime is how long a cluster is left alone after the last join; memberlist does not tell when its queues are
// empty.
const settleTime = 3 * time.Second

// cluster measures from the first join until every node knows all.
func cluster(o options) (report, error) {
	s, err := newSwarm(o)
	if err != nil {
		return nil, err
	}
	var joining meter
	hasAll, err := start(o, s, func() { joining = newMeter(s) })
	if err != nil {
		return nil, err
	}
	if !hasAll {
		return s.unconverged(o), nil
	}
	took := joining.stop()
	rss := rssBytes()
	staying := newMeter(s)
	time.Sleep(seconds(o.seconds))
	stay := staying.stop()
	figures := s.verdict(o)
	perNode := func(count int64) float64 { return math.Round(float64(count) / float64(o.nodes)) }
	figures["convergeMs"] = math.Round(milliseconds(took.elapsed))
	figures["cpuSeconds"] = round(took.cpu)
	figures["rssMb"] = megabytes(rss)
	figures["packets"] = took.packets
	figures["packetsPerNode"] = perNode(took.packets)
	figures["bytesPerNode"] = perNode(took.bytes)
	figures["streamBytesPerNode"] = perNode(took.streams)
	figures["sizesSeen"] = s.sizes()
	figures["joinsRetried"] = s.joinsRetried.Load()
	figures["staySeconds"] = o.seconds
	figures["stayCpuSeconds"] = round(stay.cpu)
	return figures, nil
}

// steady measures what a converged cluster costs while nothing happens.
func steady(o options) (report, error) {
	s, err := newSwarm(o)
	if err != nil {
		return nil, err
	}
	var base int64
	hasAll, err := start(o, s, func() { base = cleanRssBytes() })
	if err != nil {
		return nil, err
	}
	if !hasAll {
		return s.unconverged(o), nil
	}
	time.Sleep(settleTime)
	measuring := newMeter(s)
	time.Sleep(seconds(o.seconds))
	took := measuring.stop()
	rss := cleanRssBytes()
	nodeSeconds := float64(o.nodes) * took.elapsed.Seconds()
	figures := s.verdict(o)
	figures["seconds"] = round(took.elapsed.Seconds())
	figures["cpuSeconds"] = round(took.cpu)
	figures["cpuMsPerNodeSecond"] = round(1000 * took.cpu / nodeSeconds)
	figures["packetsPerNodeSecond"] = round(float64(took.packets) / nodeSeconds)
	figures["bytesPerNodeSecond"] = round(float64(took.bytes) / nodeSeconds)
	figures["streamBytesPerNodeSecond"] = round(float64(took.streams) / nodeSeconds)
	figures["rssMb"] = megabytes(rss)
	figures["baseRssMb"] = megabytes(base)
	figures["bytesPerEntry"] = math.Round(float64(rss-base) / float64(o.nodes*o.nodes))
	return figures, nil
}

func (s *swarm) unconverged(o options) report {
	return s.verdict(o, fmt.Sprintf("did not converge in %v s", o.limit.Seconds()))
}

// verdict is what every report has.
func (s *swarm) verdict(o options, problems ...string) report {
	return report{
		"nodes":         o.nodes,
		"falseFailures": s.falseFailures.Load(),
		"problems":      append([]string{}, problems...),
	}
}

func seconds(count float64) time.Duration {
	return time.Duration(count * float64(time.Second))
}
