package live

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/ringback/ringback/internal/clock"
)

const (
	// tokenLasts is how long a stream URL opens its job.
	tokenLasts = time.Hour
	// tokenTime and tokenMAC are the sizes in bytes of a token's two parts: the time when
	// it expires, in seconds since 1970, and a shortened HMAC-SHA256.
	tokenTime = 8
	tokenMAC  = 16
)

// TokensConfig configures tokens. All fields but PublicURL are required.
type TokensConfig struct {
	// SigningKey reads the store's key: tokens that one node has signed open jobs at all.
	SigningKey func(context.Context) ([]byte, error)
	Clock      *clock.Clock
	// PublicURL is the address under which clients reach the API, without a slash at its
	// end; "" makes stream URLs paths.
	PublicURL string
}

// Tokens signs and checks the tokens that open the stream of one job.
type Tokens struct {
	cfg TokensConfig
	key atomic.Pointer[[]byte]
}

// NewTokens returns tokens whose key has not been read.
func NewTokens(cfg TokensConfig) *Tokens { return &Tokens{cfg: cfg} }

// Learn reads the store's key, once.
func (t *Tokens) Learn(ctx context.Context) error {
	if t.key.Load() != nil {
		return nil
	}
	key, err := t.cfg.SigningKey(ctx)
	if err != nil {
		return fmt.Errorf("read the store's key: %w", err)
	}
	t.key.Store(&key)
	return nil
}

// StreamURL returns the URL at which anyone who has it can watch a job, for one hour. It
// has no token until the key has been read: then it takes an API key.
func (t *Tokens) StreamURL(job string) string {
	url := t.cfg.PublicURL + "/api/jobs/" + job + "/stream"
	if token := t.sign(job, t.cfg.Clock.Now().Add(tokenLasts)); token != "" {
		url += "?token=" + token
	}
	return url
}

// sign returns a token that opens the streams of a job until a time; "" if the key has not
// been read.
func (t *Tokens) sign(job string, until time.Time) string {
	if t.key.Load() == nil {
		return ""
	}
	token := binary.BigEndian.AppendUint64(nil, uint64(until.Unix()))
	return base64.RawURLEncoding.EncodeToString(append(token, t.mac(job, token)...))
}

// mac returns the second part of a token.
func (t *Tokens) mac(job string, until []byte) []byte {
	sum := hmac.New(sha256.New, *t.key.Load())
	sum.Write([]byte("stream\n" + job + "\n"))
	sum.Write(until)
	return sum.Sum(nil)[:tokenMAC]
}

// Opens reports whether a token opens the streams of a job now.
func (t *Tokens) Opens(job, token string) bool {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) != tokenTime+tokenMAC || t.key.Load() == nil {
		return false
	}
	until := time.Unix(int64(binary.BigEndian.Uint64(b)), 0)
	return hmac.Equal(b[tokenTime:], t.mac(job, b[:tokenTime])) && t.cfg.Clock.Now().Before(until)
}
