package bind

import (
	"path"
	"strings"

	"ch-run/internal/kernel"
)

// sources finds files that are to be merged, of which there may be hundreds in few directories: at the cost of one
// lookup each, and of one descriptor.
type sources struct {
	directory string // the one looked at last, as mounts have it
	path      string // without symbolic links
	handle    kernel.FD
	files     int // how many are open
	most      int // how many may be
}

// maxOpenFiles is how many of the files stay open for who wants to look at them, if there are four times as many
// descriptors.
const maxOpenFiles = 512

// find opens the source if it is a regular file that can be read, and not a symbolic link. Others need more care.
func (s *sources) find(m *OpenMount) bool {
	directory, name := path.Split(m.Source)
	if strings.HasPrefix(directory, "/dev/") || !s.enter(directory) {
		return false
	}
	fd, err := kernel.OpenPlainFile(s.handle, name)
	if err != nil {
		return false
	}
	st, err := fd.Stat()
	if err != nil || !st.IsRegular() {
		fd.Close()
		return false
	}
	m.file, m.regular, m.readable, m.size = s.path+"/"+name, true, true, st.Size
	if s.most == 0 {
		s.most = 1 + min(maxOpenFiles, kernel.FileLimit()/4)
	}
	if s.files++; s.files >= s.most {
		fd.Close()
		return true
	}
	m.handle = fd
	return true
}

// enter opens the directory, unless it is the one looked at last. The root directory is not among those that files are
// merged from.
func (s *sources) enter(directory string) bool {
	if directory == s.directory && directory != "" {
		return true
	}
	s.close()
	handle, err := kernel.DirectoryHandle(kernel.CWD, directory)
	if err != nil {
		return false
	}
	name, err := handle.Name()
	if err != nil || name == "/" {
		handle.Close()
		return false
	}
	s.directory, s.path, s.handle = directory, name, handle
	return true
}

func (s *sources) close() {
	if s.directory != "" {
		s.handle.Close()
		s.directory = ""
	}
}

// TakeFile returns what there is of a regular file that is to be merged: its path, without symbolic links, and if it is
// open for reading, that and its length in bytes. The caller closes it. For others, path is "".
func (m *OpenMount) TakeFile() (fd kernel.FD, length int64, path string) {
	if !m.regular {
		return -1, 0, ""
	}
	fd, m.handle = m.handle, -1
	return fd, m.size, m.file
}

// CheckRead returns an error if the source is a regular file to be merged that this process can neither read nor, where
// that is enough, execute.
func (m *OpenMount) CheckRead(execute bool) error {
	if !m.regular || m.readable {
		return nil
	}
	err := kernel.Access(m.file, "r")
	if err != nil && execute && kernel.Access(m.file, "x") == nil {
		return nil
	}
	return err
}
