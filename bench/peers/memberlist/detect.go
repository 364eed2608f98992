package main

import (
	"fmt"
	"sync"
	"time"
)

const (
	detectLimit = 180 * time.Second
	leaveLimit  = 10 * time.Second
)

// sightings is when who was told of the loss of which member, in milliseconds from the blow on.
type sightings struct {
	lock  sync.Mutex
	began time.Time
	told  map[string]map[string]float64
	count int
}

func newSightings(victims []*seat) *sightings {
	told := map[string]map[string]float64{}
	for _, victim := range victims {
		told[victim.name] = map[string]float64{}
	}
	return &sightings{told: told, began: time.Now()}
}

func (s *sightings) note(about, observer string) {
	s.lock.Lock()
	defer s.lock.Unlock()
	observers, isVictim := s.told[about]
	if !isVictim {
		return
	}
	if _, isKnown := observers[observer]; !isKnown {
		observers[observer] = milliseconds(time.Since(s.began))
		s.count++
	}
}

func (s *sightings) total() int {
	s.lock.Lock()
	defer s.lock.Unlock()
	return s.count
}

// times has one value for each victim of each repeat; know has one for each node that was told.
type times struct {
	first, all, spread, know []float64
}

// detect measures from a fault until the others are told. crash: the sockets close. silent: every socket stays open,
// nothing is read or answered. leave: they say so. After each repeat others take the victims' place.
func detect(o options) (report, error) {
	if o.kill >= o.nodes-2 {
		return nil, fmt.Errorf("-kill %d leaves nobody to notice", o.kill)
	}
	strike, isFault := strikes[o.fault]
	if !isFault {
		return nil, fmt.Errorf("there is no fault %q", o.fault)
	}
	s, err := newSwarm(o)
	if err != nil {
		return nil, err
	}
	hasAll, err := start(o, s, func() {})
	if err != nil {
		return nil, err
	}
	if !hasAll {
		return s.unconverged(o), nil
	}
	var seen times
	var problems []string
	for repeat := range o.repeats {
		if repeat > 0 {
			joining, err := s.open(o.kill)
			if err != nil {
				return nil, err
			}
			if !s.gather(joining, o) {
				problems = append(problems, fmt.Sprintf("repeat %d did not converge in %v s", repeat, o.limit.Seconds()))
				break
			}
		}
		time.Sleep(settleTime + seconds(s.random.Float64()))
		if !observe(s, o, strike, &seen) {
			problems = append(problems, fmt.Sprintf("%s %d/%d did not end within %v s",
				o.fault, repeat+1, o.repeats, detectLimit.Seconds()))
		}
	}
	figures := s.verdict(o, problems...)
	figures["fault"] = o.fault
	figures["kill"] = o.kill
	figures["repeats"] = o.repeats
	figures["firstMs"] = spreadOf(seen.first)
	figures["allMs"] = spreadOf(seen.all)
	figures["knowMs"] = spreadOf(seen.know)
	figures["spreadMs"] = spreadOf(seen.spread)
	return figures, nil
}

// strikes has what befalls a node; each returns at once or runs beside the others.
var strikes = map[string]func(*seat){
	"crash":  func(victim *seat) { _ = victim.list.Shutdown() },
	"silent": func(victim *seat) { victim.transport.isMuted.Store(true) },
	"leave": func(victim *seat) {
		_ = victim.list.Leave(leaveLimit)
		_ = victim.list.Shutdown()
	},
}

// observe strikes and waits until all others were told; false when they were not in time.
func observe(s *swarm, o options, strike func(*seat), seen *times) bool {
	victims := s.take(o.kill)
	sightings := newSightings(victims)
	note := sightings.note
	s.onGone.Store(&note)
	for _, victim := range victims {
		go strike(victim)
	}
	wanted := len(s.seats) * len(victims)
	isOver := wait(func() bool { return sightings.total() >= wanted }, detectLimit)
	s.onGone.Store(nil)
	for _, victim := range victims {
		_ = victim.list.Shutdown()
	}
	seen.collect(sightings, len(s.seats))
	return isOver
}

func (t *times) collect(s *sightings, observers int) {
	s.lock.Lock()
	defer s.lock.Unlock()
	for _, told := range s.told {
		if len(told) == 0 {
			continue
		}
		first, last := detectLimit.Seconds()*1000, 0.0
		for _, ms := range told {
			first, last = min(first, ms), max(last, ms)
			t.know = append(t.know, ms)
		}
		t.first = append(t.first, first)
		if len(told) == observers {
			t.all = append(t.all, last)
			t.spread = append(t.spread, last-first)
		}
	}
}
