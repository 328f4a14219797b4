package main

import (
	"os"
	"os/user"
	"strconv"
	"syscall"

	ordinary "ch-run/test/account"
)

// An account is the user whom the commands run as.
type account struct {
	name, home string
	credential *syscall.Credential // nil: the caller's own
}

// ordinaryUser returns the caller, or for root a user made for this purpose.
func ordinaryUser() (account, error) {
	if os.Geteuid() != 0 {
		u, err := user.Current()
		if err != nil {
			return account{}, err
		}
		return account{name: u.Username, home: u.HomeDir}, nil
	}
	u, err := ordinary.Make()
	if err != nil {
		return account{}, err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return account{}, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return account{}, err
	}
	// Without supplementary groups, which setgroups(2) is told even if there are none.
	credential := &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return account{name: u.Username, home: u.HomeDir, credential: credential}, nil
}

// environment is as small as the commands allow: Charliecloud's ch-run needs USER.
func (a account) environment(temporary string) []string {
	return []string{"HOME=" + a.home, "USER=" + a.name, "PATH=/usr/local/bin:/usr/bin:/bin", "TMPDIR=" + temporary}
}

func (a account) uid() uint32 {
	if a.credential == nil {
		return uint32(os.Getuid())
	}
	return a.credential.Uid
}

// own gives path to the account.
func (a account) own(path string) error {
	if a.credential == nil {
		return nil
	}
	return os.Lchown(path, int(a.credential.Uid), int(a.credential.Gid))
}
