package main

import (
	"io"
	"log"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
)

// traffic is what all nodes sent together.
type traffic struct {
	packets     atomic.Int64
	bytes       atomic.Int64
	streamBytes atomic.Int64
}

// transport is memberlist's own, with counters. One that can be muted also has a switch that drops everything both
// ways while every socket stays open.
type transport struct {
	*memberlist.NetTransport
	traffic *traffic
	streams chan net.Conn
	packets chan *memberlist.Packet
	isMuted atomic.Bool
	done    chan struct{}
	ended   sync.Once
}

const bindAttempts = 10

func newTransport(t *traffic, canMute bool) (*transport, error) {
	inner, err := listen()
	if err != nil {
		return nil, err
	}
	own := &transport{NetTransport: inner, traffic: t, streams: make(chan net.Conn), done: make(chan struct{})}
	go own.forwardStreams()
	if canMute {
		own.packets = make(chan *memberlist.Packet)
		go own.forwardPackets()
	}
	return own, nil
}

// listen tries again when the UDP port of the same number is taken, as memberlist does.
func listen() (*memberlist.NetTransport, error) {
	config := &memberlist.NetTransportConfig{BindAddrs: []string{host}, Logger: silence()}
	var err error
	for range bindAttempts {
		var inner *memberlist.NetTransport
		if inner, err = memberlist.NewNetTransport(config); err == nil {
			return inner, nil
		}
	}
	return nil, err
}

func silence() *log.Logger {
	return log.New(io.Discard, "", 0)
}

func (t *transport) WriteTo(b []byte, addr string) (time.Time, error) {
	return t.WriteToAddress(b, memberlist.Address{Addr: addr})
}

func (t *transport) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	if t.isMuted.Load() {
		return time.Now(), nil
	}
	t.traffic.packets.Add(1)
	t.traffic.bytes.Add(int64(len(b)))
	return t.NetTransport.WriteToAddress(b, a)
}

func (t *transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

func (t *transport) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	if t.isMuted.Load() {
		return nil, net.ErrClosed
	}
	conn, err := t.NetTransport.DialAddressTimeout(a, timeout)
	if err != nil {
		return nil, err
	}
	return &countedConn{Conn: conn, sent: &t.traffic.streamBytes}, nil
}

func (t *transport) StreamCh() <-chan net.Conn { return t.streams }

func (t *transport) PacketCh() <-chan *memberlist.Packet {
	if t.packets == nil {
		return t.NetTransport.PacketCh()
	}
	return t.packets
}

// Shutdown goes on forwarding until the listeners have ended: they wait for whoever takes what they have accepted.
func (t *transport) Shutdown() error {
	err := t.NetTransport.Shutdown()
	t.ended.Do(func() { close(t.done) })
	return err
}

func (t *transport) forwardStreams() {
	var held []net.Conn
	defer func() {
		for _, conn := range held {
			_ = conn.Close()
		}
	}()
	for {
		select {
		case conn := <-t.NetTransport.StreamCh():
			if t.isMuted.Load() {
				held = append(held, conn)
				continue
			}
			select {
			case t.streams <- &countedConn{Conn: conn, sent: &t.traffic.streamBytes}:
			case <-t.done:
				_ = conn.Close()
			}
		case <-t.done:
			return
		}
	}
}

func (t *transport) forwardPackets() {
	for {
		select {
		case packet := <-t.NetTransport.PacketCh():
			if t.isMuted.Load() {
				continue
			}
			select {
			case t.packets <- packet:
			case <-t.done:
			}
		case <-t.done:
			return
		}
	}
}

type countedConn struct {
	net.Conn
	sent *atomic.Int64
}

func (c *countedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.sent.Add(int64(n))
	return n, err
}
