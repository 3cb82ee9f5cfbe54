package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
)

// reader reads a stream of server-sent events over its own connection. What it reads is
// parsed after the run: until then it costs no more than necessary.
type reader struct {
	conn net.Conn
	body *bufio.Reader
	from int64 // when the stream began; as in passage
	seen []arrival
}

// arrival is the data of an event, and when it had been read.
type arrival struct {
	at   int64
	data []byte
}

// awayError is an answer that is no stream.
type awayError struct {
	status int
	why    string
}

func (e *awayError) Error() string {
	return fmt.Sprintf("the stream says %d: %.200s", e.status, e.why)
}

// sources is the number of addresses that readers connect from: each has some 28,000 ports.
const sources = 8

// listenTo opens a stream for reader i.
func (r *run) listenTo(ctx context.Context, req *http.Request, i int) (*reader, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+i%sources))}}
	conn, err := d.DialContext(ctx, "tcp", req.URL.Host)
	if err != nil {
		return nil, err
	}
	leave := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer leave()
	if err := req.Write(conn); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	resp, err := http.ReadResponse(bufio.NewReaderSize(conn, 1<<10), req) //nolint:bodyclose // its connection is closed
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	rd := &reader{conn: conn, body: bufio.NewReaderSize(resp.Body, 1<<10), from: r.now()}
	if resp.StatusCode != http.StatusOK {
		why, _ := rd.body.ReadBytes('\n')
		_ = conn.Close()
		return nil, &awayError{resp.StatusCode, string(why)}
	}
	return rd, nil
}

// read reads until the stream ends, and closes it then.
func (rd *reader) read(ctx context.Context, r *run) error {
	leave := context.AfterFunc(ctx, func() { _ = rd.conn.Close() })
	defer leave()
	defer func() { _ = rd.conn.Close() }()
	for {
		line, err := rd.body.ReadBytes('\n')
		if data, found := bytes.CutPrefix(line, []byte("data: ")); found {
			rd.seen = append(rd.seen, arrival{r.now(), data})
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

// streamed is the relevant part of an event, either Ringback's or the provider's own.
type streamed struct {
	Type  string `json:"type"`
	Kind  string `json:"kind"`
	Text  string `json:"text"`
	Delta struct {
		Text string `json:"text"`
	} `json:"delta"`
}

// late returns how long the pieces of job n took from the provider to this reader, in
// nanoseconds, without those that were written before it came. It returns an error if the
// text is not the answer.
func (rd *reader) late(r *run, n int) (all []int64, err error) {
	b, text, next := r.behaviour, []byte(nil), 0
	for _, a := range rd.seen {
		var e streamed
		if err := json.Unmarshal(a.data, &e); err != nil {
			return nil, fmt.Errorf("read an event: %w", err)
		}
		switch {
		case e.Type == "job.retrying":
			text, next = nil, 0
		case e.Type == "job.delta" && e.Kind == "text":
			text = append(text, e.Text...)
		case e.Type == "content_block_delta":
			text = append(text, e.Delta.Text...)
		}
		for ; b.stream > 0 && next < b.pieces && len(text) >= (next+1)*b.size/b.pieces; next++ {
			if written := r.written[n*b.pieces+next].Load(); written > rd.from {
				all = append(all, a.at-written)
			}
		}
	}
	if string(text) != b.frames().text {
		return nil, fmt.Errorf("a reader of job %d has read %d bytes in %d events, which are not the answer's %d", n, len(text), len(rd.seen), b.size)
	}
	return all, nil
}
