package simulate

import (
	"errors"
	"net/http"
)

// cutWriter lets that many bytes through and then breaks off the connection.
type cutWriter struct {
	to     http.ResponseWriter
	left   int  // bytes until the cut; negative: never
	broken bool // the handler must abort
}

var errCut = errors.New("the connection is to break here")

func (c *cutWriter) Write(b []byte) (int, error) {
	if c.left < 0 {
		return c.to.Write(b)
	}
	n, err := c.to.Write(b[:min(len(b), c.left)])
	c.left -= n
	if err == nil && c.left == 0 {
		c.breakOff()
		err = errCut
	}
	return n, err
}

// breakOff sends what is there and marks the connection as broken.
func (c *cutWriter) breakOff() {
	c.flush()
	c.broken = true
}

func (c *cutWriter) flush() bool {
	return http.NewResponseController(c.to).Flush() == nil
}
