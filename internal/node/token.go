package node

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/google/uuid"
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
	key, err := n.store.Key(ctx)
	if err != nil {
		return fmt.Errorf("read the store's key: %w", err)
	}
	n.key.Store(&key)
	return nil
}

// streamURL is where a job can be watched, by whoever has it.
func (n *Node) streamURL(id uuid.UUID) string {
	return n.statusURL(id) + "/stream?token=" + n.token(id.String(), n.now().Add(tokenLasts))
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
	until := time.Unix(int64(binary.BigEndian.Uint64(b)), 0) //nolint:gosec // of our own making, or refused below
	return hmac.Equal(b[tokenTime:], n.signed(job, b[:tokenTime])) && n.now().Before(until)
}
