package node

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"

	"github.com/google/uuid"
)

const (
	// tokenLasts is for how long a stream URL opens its job.
	tokenLasts = time.Hour
	// tokenTime and tokenSum are the bytes of a token: when it ends, in seconds since
	// 1970, and an HMAC-SHA256, cut.
	tokenTime = 8
	tokenSum  = 16
)

// streamURL is where a job can be watched, by whoever has it.
func (n *Node) streamURL(id uuid.UUID) string {
	return n.statusURL(id) + "/stream?token=" + n.token(id.String(), n.now().Add(tokenLasts))
}

// token opens the streams of a job until a time.
func (n *Node) token(job string, until time.Time) string {
	token := binary.BigEndian.AppendUint64(nil, uint64(until.Unix()))
	return base64.RawURLEncoding.EncodeToString(append(token, n.tokenSum(job, token)...))
}

// tokenSum signs the end of a token.
func (n *Node) tokenSum(job string, until []byte) []byte {
	sum := hmac.New(sha256.New, n.key)
	sum.Write([]byte("stream\n" + job + "\n"))
	sum.Write(until)
	return sum.Sum(nil)[:tokenSum]
}

// Opens tells whether a token opens the streams of a job now.
func (n *Node) Opens(job, token string) bool {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) != tokenTime+tokenSum || len(n.key) == 0 {
		return false
	}
	until := time.Unix(int64(binary.BigEndian.Uint64(b)), 0) //nolint:gosec // of our own making, or refused below
	return hmac.Equal(b[tokenTime:], n.tokenSum(job, b[:tokenTime])) && n.now().Before(until)
}
