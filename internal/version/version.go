// Package version names the release that is running. The linker fills it in;
// see LDFLAGS in the Makefile.
package version

// Version is the release, or "dev" for a build that was not given one.
var Version = "dev"
