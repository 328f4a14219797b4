//go:build faults

package early

// #cgo CFLAGS: -DCH_RUN_FAULTS
import "C"
