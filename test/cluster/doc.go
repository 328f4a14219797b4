// Package cluster runs jobs of real users on a real Slurm: a cluster of several nodes that all are this machine, which
// the tests bring up as root, and take down without a trace. What runs in it belongs to an ordinary user.
//
// The tests have the build tag "cluster", and "make cluster-test" runs them.
package cluster
