package sqlite

import (
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/ringback/ringback/internal/shortage"
)

// namesEvery is how often the names of the open files are checked while nothing is being
// written.
const namesEvery = time.Second

// openFiles are the files that the store has open, as they were found under their names
// when it opened them.
type openFiles []openFile

type openFile struct {
	name string
	info fs.FileInfo // its device and inode
}

// rememberFiles records which files are under the names now.
func rememberFiles(names ...string) (openFiles, error) {
	var files openFiles
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			return nil, err
		}
		files = append(files, openFile{name, info})
	}
	return files, nil
}

// inPlace returns an error unless each file is still the one under its name. A write to a
// file that was removed, or moved away, succeeds and is synced, and is gone after a
// restart.
func (files openFiles) inPlace() error {
	for _, f := range files {
		now, err := os.Stat(f.name)
		if shortage.Of(err) != "" {
			continue // says nothing about the file; the next check will
		}
		if err != nil {
			return misplacedError{fmt.Errorf("%s was moved or removed while the server ran: %w", f.name, err)}
		}
		if !os.SameFile(f.info, now) {
			return misplacedError{fmt.Errorf("%s was replaced by another file while the server ran", f.name)}
		}
	}
	return nil
}

// misplacedError means that a file is not where a restart would look for it.
type misplacedError struct{ error }

// watchFiles checks the names until stop is closed, and ends the process if one fails. It
// notices while no commit would, since none is made.
func (s *Store) watchFiles(stop <-chan struct{}) {
	tick := time.NewTicker(namesEvery)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			if err := s.writer.files.inPlace(); err != nil {
				s.died(err)
				return
			}
		}
	}
}
