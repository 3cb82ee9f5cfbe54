package conns

import "bytes"

// A head follows a request up to the blank line after its headers.
type head struct {
	size, lines int
	width       int  // bytes of the line that is being read
	cr          bool // it begins with a carriage return
	begun       bool // there was a line that is not blank: blank lines before it do not end the head
}

// read continues with p, and returns how many of its bytes belong to the head and whether
// the head ends there.
func (h *head) read(p []byte) (n int, whole bool) {
	for n < len(p) && !whole {
		end := bytes.IndexByte(p[n:], '\n')
		if end < 0 {
			h.extend(p[n:])
			n = len(p)
			break
		}
		h.extend(p[n : n+end])
		n += end + 1
		h.lines++
		blank := h.width == 0 || h.width == 1 && h.cr
		whole = blank && h.begun
		h.begun = h.begun || !blank
		h.width = 0
	}
	h.size += n
	return n, whole
}

func (h *head) extend(part []byte) {
	if h.width == 0 && len(part) > 0 {
		h.cr = part[0] == '\r'
	}
	h.width += len(part)
}

// tooLarge reports whether a head has exceeded its bounds. The request line and the blank
// line are not headers.
func (h *head) tooLarge() bool { return h.size > MaxHead || h.lines > MaxHeaders+2 }
