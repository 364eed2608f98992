package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"time"

	"github.com/hashicorp/go-msgpack/v2/codec"
	"github.com/hashicorp/memberlist"
)

const (
	queueMembers = 2000
	// batch is how many datagrams one timed turn fills: so few that a busy machine leaves the median turn alone, as it
	// does with the faster turns of bench/cases/queue.ts.
	batch            = 4
	compoundOverhead = 2
	datagramBytes    = 1400
	suspectMessage   = 3
	aliveMessage     = 4
	compoundMessage  = 7
	warmUp           = 100 * time.Millisecond
)

// suspect and alive are what memberlist puts on the wire under these names.
type suspect struct {
	Incarnation uint32
	Node        string
	From        string
}

type alive struct {
	Incarnation uint32
	Node        string
	Addr        []byte
	Port        uint16
	Meta        []byte
	Vsn         []uint8
}

// queued is what memberlist queues: a message that replaces an older one about the same member.
type queuedMessage struct {
	name string
	body []byte
}

func (q *queuedMessage) Name() string    { return q.name }
func (q *queuedMessage) Message() []byte { return q.body }
func (q *queuedMessage) Finished()       {}
func (q *queuedMessage) Invalidates(other memberlist.Broadcast) bool {
	named, isNamed := other.(memberlist.NamedBroadcast)
	return isNamed && named.Name() == q.name
}

// queue measures pushes and fills of a full datagram. Packed, each message is encoded and each datagram put together
// and checksummed, which is what memberlist does and what tattler's side of the measurement has in it.
func queue(o options) (report, error) {
	encoders := map[string]func(string) []byte{"suspects": encodeSuspect, "alives": encodeAlive}
	encode, found := encoders[o.load]
	if !found {
		return nil, fmt.Errorf("there is no load %q", o.load)
	}
	names := make([]string, queueMembers)
	bodies := make([][]byte, queueMembers)
	for i := range names {
		names[i] = fmt.Sprintf("member-%d", i)
		bodies[i] = encode(names[i])
	}
	q := memberlist.TransmitLimitedQueue{
		NumNodes:       func() int { return queueMembers },
		RetransmitMult: memberlist.DefaultLANConfig().RetransmitMult,
	}
	next, messages, fills := 0, 0, 0
	turn := func() {
		for range batch {
			for range o.pushes {
				i := next % queueMembers
				next++
				body := bodies[i]
				if o.isPacked {
					body = encode(names[i])
				}
				q.QueueBroadcast(&queuedMessage{names[i], body})
			}
			out := q.GetBroadcasts(compoundOverhead, datagramBytes-compoundOverhead)
			messages += len(out)
			fills++
			if o.isPacked {
				pack(out)
			}
		}
	}
	for began := time.Now(); time.Since(began) < warmUp; {
		turn()
	}
	messages, fills = 0, 0
	var taken []float64
	for began := time.Now(); time.Since(began) < seconds(o.seconds); {
		start := time.Now()
		turn()
		taken = append(taken, float64(time.Since(start))/batch)
	}
	slices.Sort(taken)
	return report{
		"load":            o.load,
		"pushes":          o.pushes,
		"packed":          o.isPacked,
		"nsPerFill":       round(taken[len(taken)/2]),
		"messagesPerFill": round(float64(messages) / float64(fills)),
		"bytesPerMessage": len(bodies[queueMembers/2]),
		"nodes":           queueMembers,
		"falseFailures":   0,
		"problems":        []string{},
	}, nil
}

func encodeSuspect(name string) []byte {
	return encode(suspectMessage, &suspect{Incarnation: 1, Node: name, From: "a"})
}

func encodeAlive(name string) []byte {
	return encode(aliveMessage, &alive{
		Incarnation: 1, Node: name, Addr: []byte{127, 0, 0, 1}, Port: 7946, Vsn: []uint8{1, 5, 2, 0, 0, 0},
	})
}

// encode is memberlist's way, with a handle for each message.
func encode(kind uint8, in any) []byte {
	buffer := bytes.NewBuffer(nil)
	buffer.WriteByte(kind)
	handle := codec.MsgpackHandle{}
	handle.TimeNotBuiltin = true
	if err := codec.NewEncoder(buffer, &handle).Encode(in); err != nil {
		panic(err)
	}
	return buffer.Bytes()
}

// pack puts messages into one datagram: a compound message and its checksum.
func pack(messages [][]byte) uint32 {
	buffer := bytes.NewBuffer(nil)
	buffer.WriteByte(compoundMessage)
	buffer.WriteByte(uint8(len(messages)))
	for _, message := range messages {
		_ = binary.Write(buffer, binary.BigEndian, uint16(len(message)))
	}
	for _, message := range messages {
		buffer.Write(message)
	}
	return crc32.ChecksumIEEE(buffer.Bytes())
}
