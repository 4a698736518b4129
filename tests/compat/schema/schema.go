// Package schema checks every object of a bucket against what real Velero 1.16
// to 1.18 reads (velero-facts §1 and §13): keys, gzip, JSON to the last field, the
// layout of archives, and what the objects say of each other.
//
// It shares no types with podkeep: what it knows is written down here a second
// time, and the fields of objects are those of Velero's CRDs (crd-fields.json). A
// bucket without problems is one that Velero can sync and restore. It reads no
// repository data; that other programs open the repositories is tested with
// kopia itself.
package schema

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// Rule is what an object breaks.
type Rule string

// The rules.
const (
	RuleTopLevel   Rule = "TopLevel"   // only Velero's folders are under the root
	RuleObjects    Rule = "Objects"    // a folder has the objects that it should, and no others
	RuleName       Rule = "Name"       // names are those of Kubernetes objects
	RuleGzip       Rule = "Gzip"       // complete, and nothing after it
	RuleJSON       Rule = "JSON"       // one document, written as Velero writes it
	RuleField      Rule = "Field"      // no field that Velero does not know
	RuleRequired   Rule = "Required"   // no field missing
	RuleType       Rule = "Type"       // every value of the type that Velero reads
	RuleEnum       Rule = "Enum"       // values that the CRDs of Velero 1.16 allow
	RuleIdentity   Rule = "Identity"   // objects belong to the backup that they lie in
	RulePhase      Rule = "Phase"      // phases of what can be restored
	RuleCount      Rule = "Count"      // numbers are those of what is counted
	RuleFinalizer  Rule = "Finalizer"  // nothing keeps synced objects from being deleted
	RuleSnapshot   Rule = "Snapshot"   // data has a snapshot, and the snapshot an ID
	RuleVolumeInfo Rule = "VolumeInfo" // every volume is accounted for
	RuleEntry      Rule = "Entry"      // archives have plain files, in order, once
	RulePath       Rule = "Path"       // archives have Velero's paths
	RuleCopy       Rule = "Copy"       // each item is there twice: plain and by version
	RuleItem       Rule = "Item"       // an item is the object that its path says
	RuleClaim      Rule = "Claim"      // claims are cleaned of what would bind them otherwise
	RuleList       Rule = "List"       // the resource list is that of the archive
	RuleLog        Rule = "Log"        // lines that people and tools of Velero read
	RuleRepository Rule = "Repository" // repositories lie where Velero looks, and are marked
)

// Problem is an object that breaks a rule.
type Problem struct {
	Key    string
	Rule   Rule
	Detail string
}

// String is the problem in one line.
func (p Problem) String() string { return p.Key + ": " + string(p.Rule) + ": " + p.Detail }

// checker collects problems.
type checker struct {
	bucket   fs.FS
	problems []Problem
}

func (c *checker) add(key string, rule Rule, format string, args ...any) {
	c.problems = append(c.problems, Problem{Key: key, Rule: rule, Detail: fmt.Sprintf(format, args...)})
}

// read returns an object. That it cannot be read is a problem of the test, which
// Check finds before.
func (c *checker) read(key string) []byte {
	content, err := fs.ReadFile(c.bucket, key)
	if err != nil {
		c.add(key, RuleObjects, "%v", err)
	}
	return content
}

// Folders under the root.
const (
	backupsFolder  = "backups"
	restoresFolder = "restores"
	kopiaFolder    = "kopia"
)

var topLevel = []string{backupsFolder, restoresFolder, "restic", "metadata", "plugins", kopiaFolder}

// gatewayFolder is where the S3 gateway of the test cluster keeps what is not
// complete. It is no object.
const gatewayFolder = ".sgwtmp"

// Check returns the problems of a bucket, in the order of its keys. The root of
// bucket is that of the storage location, prefix included.
func Check(bucket fs.FS) ([]Problem, error) {
	c := &checker{bucket: bucket}
	root, err := fs.ReadDir(bucket, ".")
	if err != nil {
		return nil, err
	}
	for _, entry := range root {
		// Loose objects at the root are nobody's business (velero-facts §1.1).
		if entry.IsDir() && entry.Name() != gatewayFolder && !slices.Contains(topLevel, entry.Name()) {
			c.add(entry.Name(), RuleTopLevel, "the folder makes the location unavailable in Velero")
		}
	}
	for folder, check := range map[string]func(name string, objects []string){
		backupsFolder: c.checkBackup, restoresFolder: c.checkRestore, kopiaFolder: c.checkRepository,
	} {
		if err := c.eachFolder(folder, check); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(c.problems, func(a, b Problem) int { return strings.Compare(a.Key, b.Key) })
	return c.problems, nil
}

// eachFolder calls check with every folder in a folder of the root, and the names
// of the objects below it.
func (c *checker) eachFolder(folder string, check func(name string, objects []string)) error {
	entries, err := fs.ReadDir(c.bucket, folder)
	if err != nil {
		return nil //nolint:nilerr // there is none
	}
	for _, entry := range entries {
		if !entry.IsDir() {
			c.add(path.Join(folder, entry.Name()), RuleObjects, "is in no folder of a backup, restore or repository")
			continue
		}
		base := path.Join(folder, entry.Name())
		var objects []string
		err := fs.WalkDir(c.bucket, base, func(key string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				objects = append(objects, strings.TrimPrefix(key, base+"/"))
			}
			return err
		})
		if err != nil {
			return err
		}
		if problems := validation.IsDNS1123Subdomain(entry.Name()); len(problems) > 0 {
			c.add(base, RuleName, "%s", problems[0])
		}
		check(entry.Name(), objects)
	}
	return nil
}

// expectObjects checks that a folder has the wanted objects, and no others than
// these and the tolerated ones.
func (c *checker) expectObjects(base string, objects, wanted, tolerated []string) (complete bool) {
	complete = true
	for _, name := range wanted {
		if !slices.Contains(objects, name) {
			c.add(path.Join(base, name), RuleObjects, "is missing")
			complete = false
		}
	}
	for _, name := range objects {
		if !slices.Contains(wanted, name) && !slices.Contains(tolerated, name) {
			c.add(path.Join(base, name), RuleObjects, "is no object of Velero")
		}
	}
	return complete
}
