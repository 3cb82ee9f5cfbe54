package node

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"time"
)

const (
	// tokenLasts is for how long a stream URL opens its job.
	tokenLasts = time.Hour
	// tokenTime and tokenMAC are the bytes of a token: when it ends, in seconds since
	// 1970, and an HMAC-SHA256, cut.
	tokenTime = 8
	tokenMAC  = 16
)

// learnKey reads the store's key, once.
func (n *Node) learnKey(ctx context.Context) error {
	if n.key.Load() != nil {
		return nil
	}
	key, err := n.store.SigningKey(ctx)
	if err != nil {
		return fmt.Errorf("read the store's key: %w", err)
	}
	n.key.Store(&key)
	return nil
}

// StreamURL is where a job can be watched for an hour, by whoever has it. While the
// store can't be read it may be without a token: then it takes an API key.
func (n *Node) StreamURL(ctx context.Context, job string) string {
	n.logLoopError(ctx, "read the store's key", n.learnKey(ctx))
	return n.streamURL(job)
}

func (n *Node) streamURL(job string) string {
	url := n.cfg.PublicURL + "/api/jobs/" + job + "/stream"
	if token := n.token(job, n.clock.Now().Add(tokenLasts)); token != "" {
		url += "?token=" + token
	}
	return url
}

// token opens the streams of a job until a time; "" before the node has joined.
func (n *Node) token(job string, until time.Time) string {
	if n.key.Load() == nil {
		return ""
	}
	token := binary.BigEndian.AppendUint64(nil, uint64(until.Unix()))
	return base64.RawURLEncoding.EncodeToString(append(token, n.signed(job, token)...))
}

// signed is the second half of a token.
func (n *Node) signed(job string, until []byte) []byte {
	sum := hmac.New(sha256.New, *n.key.Load())
	sum.Write([]byte("stream\n" + job + "\n"))
	sum.Write(until)
	return sum.Sum(nil)[:tokenMAC]
}

// Opens tells whether a token opens the streams of a job now.
func (n *Node) Opens(job, token string) bool {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) != tokenTime+tokenMAC || n.key.Load() == nil {
		return false
	}
	until := time.Unix(int64(binary.BigEndian.Uint64(b)), 0)
	return hmac.Equal(b[tokenTime:], n.signed(job, b[:tokenTime])) && n.clock.Now().Before(until)
}
