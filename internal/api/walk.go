package api

// What follows walks values that parseObject has found valid: it only looks for where
// each ends.

// eachMember calls each for the members of an object.
func (v value) eachMember(each func(name string, val value) error) error {
	return v.members(func(name span, val value) error { return each(unquote(v[name.from:name.to]), val) })
}

// members is eachMember for those who may not want the text of a name.
func (v value) members(each func(name span, val value) error) error {
	for rest := v.inside(0); v[rest] != '}'; {
		name := span{rest + 1, rest + sizeOfString(v[rest:]) - 1}
		rest = v.skipSpace(name.to + 1)
		rest = v.skipSpace(rest + 1) // the colon
		end := rest + sizeOfValue(v[rest:])
		if err := each(name, v[rest:end]); err != nil {
			return err
		}
		rest = v.next(end)
	}
	return nil
}

// eachElement calls each for the elements of an array.
func (v value) eachElement(each func(i int, val value) error) error {
	rest := v.inside(0)
	for i := 0; v[rest] != ']'; i++ {
		end := rest + sizeOfValue(v[rest:])
		if err := each(i, v[rest:end]); err != nil {
			return err
		}
		rest = v.next(end)
	}
	return nil
}

// inside is where the first member of an object or array is, or its end.
func (v value) inside(at int) int { return v.skipSpace(at + 1) }

// next is where the member behind one that ends at is, or the end of them all.
func (v value) next(at int) int {
	if at = v.skipSpace(at); v[at] == ',' {
		return v.skipSpace(at + 1)
	}
	return at
}

func (v value) skipSpace(at int) int {
	for v[at] <= ' ' {
		at++
	}
	return at
}

// sizeOfValue is the length of the value that text begins with.
func sizeOfValue(text []byte) int {
	switch text[0] {
	case '"':
		return sizeOfString(text)
	case '{', '[':
		return sizeOfNest(text)
	}
	n := 0
	for n < len(text) && text[n] > ' ' && text[n] != ',' && text[n] != ']' && text[n] != '}' {
		n++
	}
	return n
}

// sizeOfString is the length of a string with its quotes.
func sizeOfString(text []byte) int {
	at := 1
	for {
		at += plainPrefix(text[at:])
		if text[at] == '"' {
			return at + 1
		}
		at += 2 // an escape; what follows \u is plain
	}
}

func sizeOfNest(text []byte) int {
	depth := 0
	for at := 0; ; at++ {
		switch text[at] {
		case '"':
			at += sizeOfString(text[at:]) - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return at + 1
			}
		}
	}
}
