// Package arch pins which package may import which.
package arch

import (
	"os/exec"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

const module = "github.com/podkeep/podkeep/"

// forbidden lists, per folder, import prefixes it must not reach, even
// indirectly, with the reason.
var forbidden = map[string]struct {
	prefixes []string
	why      string
}{
	"api/...":                      {[]string{"sigs.k8s.io/controller-runtime", "k8s.io/client-go", module + "internal"}, "others import our types"},
	"internal/selection":           {[]string{"sigs.k8s.io/controller-runtime", "k8s.io/client-go"}, "a decision takes facts, not clients"},
	"internal/explain":             {[]string{"sigs.k8s.io/controller-runtime", "k8s.io/client-go"}, "what people see is a function of objects"},
	"internal/podfacts":            {[]string{"sigs.k8s.io/controller-runtime", "k8s.io/client-go"}, "facts are read by package live"},
	"internal/filter":              {[]string{"sigs.k8s.io/controller-runtime", "k8s.io/client-go"}, "a decision takes facts, not clients"},
	"internal/resourcepolicy":      {[]string{"sigs.k8s.io/controller-runtime", "k8s.io/client-go"}, "a decision takes facts, not clients"},
	"internal/wire":                {[]string{"sigs.k8s.io/controller-runtime", "k8s.io/client-go"}, "both sides of a process boundary import it"},
	"internal/layout":              {[]string{"sigs.k8s.io/controller-runtime", "k8s.io/client-go"}, "formats are pure"},
	"internal/jsonbound":           {[]string{"sigs.k8s.io/controller-runtime", "k8s.io/", module}, "it knows JSON, not what documents mean"},
	"internal/location":            {[]string{"sigs.k8s.io/controller-runtime", "k8s.io/client-go"}, "a decision takes facts, not clients"},
	"internal/backupspec":          {[]string{"sigs.k8s.io/controller-runtime", "k8s.io/client-go"}, "a decision takes facts, not clients"},
	"internal/restorespec":         {[]string{"sigs.k8s.io/controller-runtime", "k8s.io/client-go"}, "a decision takes facts, not clients"},
	"internal/nodeagentconfig":     {[]string{"sigs.k8s.io/controller-runtime", "k8s.io/client-go"}, "a decision takes facts, not clients"},
	"internal/repositoryconfig":    {[]string{"sigs.k8s.io/controller-runtime", "k8s.io/client-go"}, "a decision takes facts, not clients"},
	"internal/workloads":           {[]string{"sigs.k8s.io/controller-runtime", "k8s.io/client-go"}, "a decision takes facts, not clients"},
	"webhook/validation":           {[]string{"sigs.k8s.io/controller-runtime", "k8s.io/client-go"}, "a decision takes facts, not clients"},
	"internal/gateconfig":          {[]string{"sigs.k8s.io/controller-runtime", "k8s.io/client-go"}, "a decision takes facts, not clients"},
	"internal/describe":            {[]string{"sigs.k8s.io/controller-runtime", "k8s.io/client-go"}, "what people see is a function of objects"},
	"internal/progressview":        {[]string{"sigs.k8s.io/controller-runtime", "k8s.io/client-go"}, "what people see is a function of objects"},
	"injector":                     {[]string{"sigs.k8s.io/controller-runtime", "k8s.io/client-go"}, "pod in, pod out"},
	"initwait":                     {[]string{"k8s.io", "sigs.k8s.io", "github.com"}, "it runs in every restored pod"},
	"mover/...":                    {[]string{"sigs.k8s.io/controller-runtime", "k8s.io/client-go", module + "controllers", module + "nodeagent"}, "it talks by exit code and JSON only"},
	"nodeagent/...":                {[]string{"github.com/kopia", module + "controllers", module + "webhook", module + "mover"}, "it meets the others in the API objects"},
	"webhook/...":                  {[]string{"github.com/kopia", module + "controllers", module + "nodeagent", module + "mover"}, "it asks internal packages instead"},
	"controllers/backup/...":       {[]string{"github.com/kopia", module + "nodeagent", module + "webhook"}, "it meets the others in the API objects"},
	"controllers/restore/...":      {[]string{"github.com/kopia", module + "nodeagent", module + "webhook"}, "it meets the others in the API objects"},
	"controllers/location/...":     {[]string{"github.com/kopia", module + "nodeagent", module + "webhook"}, "it meets the others in the API objects"},
	"controllers/schedule/...":     {[]string{"github.com/kopia", module + "mover", module + "nodeagent", module + "webhook"}, "it meets the others in the API objects"},
	"controllers/expiration/...":   {[]string{"github.com/kopia", module + "mover", module + "nodeagent", module + "webhook"}, "it meets the others in the API objects"},
	"controllers/deletion/...":     {[]string{"github.com/kopia", module + "nodeagent", module + "webhook"}, "it meets the others in the API objects"},
	"internal/moverparts":          {[]string{"sigs.k8s.io/controller-runtime", "k8s.io/client-go"}, "parts of pods are values"},
	"internal/podresources":        {[]string{"sigs.k8s.io/controller-runtime", "k8s.io/client-go"}, "parts of pods are values"},
	"internal/schedules":           {[]string{"sigs.k8s.io/controller-runtime", "k8s.io/client-go"}, "a decision takes facts, not clients"},
	"controllers/repository/...":   {[]string{module + "nodeagent", module + "webhook"}, "it meets the others in the API objects"},
	"controllers/sync/...":         {[]string{"github.com/kopia", module + "nodeagent", module + "webhook"}, "it meets the others in the API objects"},
	"controllers/download/...":     {[]string{"github.com/kopia", module + "nodeagent", module + "webhook"}, "it meets the others in the API objects"},
	"controllers/serverstatus/...": {[]string{"github.com/kopia", module + "nodeagent", module + "webhook"}, "it meets the others in the API objects"},
	"controllers/gate":             {[]string{"github.com/kopia", module + "controllers/restore", module + "nodeagent", module + "webhook"}, "it meets the others in the API objects"},
	"controllers/watchdog":         {[]string{"github.com/kopia", module + "controllers/restore", module + "nodeagent", module + "webhook"}, "it meets the others in the API objects"},
	"internal/hold":                {[]string{"sigs.k8s.io/controller-runtime", "k8s.io/client-go"}, "a decision takes facts, not clients"},
	"internal/hooks":               {[]string{"sigs.k8s.io/controller-runtime", "k8s.io/client-go"}, "what hooks a pod has is a function of objects"},
	"internal/hookrun":             {[]string{module + "controllers"}, "controllers decide which hook is run"},
	"internal/modifiers":           {[]string{"sigs.k8s.io/controller-runtime", "k8s.io/client-go"}, "an object in, an object out"},
	"internal/coverage":            {[]string{"sigs.k8s.io/controller-runtime", "k8s.io/client-go"}, "a decision takes facts, not clients"},
	"controllers/coverage/...":     {[]string{"github.com/kopia", module + "mover", module + "nodeagent", module + "webhook"}, "it meets the others in the API objects"},
	"internal/podexec":             {[]string{module, "sigs.k8s.io/controller-runtime"}, "it runs commands and knows nothing of backups"},
}

// kopiaImporter is the one folder that may import kopia itself.
const kopiaImporter = module + "mover"

func TestForbiddenImports(t *testing.T) {
	t.Parallel()
	for dir, rule := range forbidden {
		t.Run(dir, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			out, err := exec.Command("go", "list", "-deps", module+dir).Output()

			g.Expect(err).NotTo(HaveOccurred())
			for dep := range strings.Lines(string(out)) {
				dep = strings.TrimSpace(dep)
				if dep == module+dir {
					continue
				}
				for _, prefix := range rule.prefixes {
					g.Expect(dep).NotTo(HavePrefix(prefix), rule.why)
				}
			}
		})
	}
}

func TestOnlyMoverImportsKopia(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, module+"...").Output()

	g.Expect(err).NotTo(HaveOccurred())
	for line := range strings.Lines(string(out)) {
		pkg, imports, _ := strings.Cut(strings.TrimSpace(line), " ")
		if strings.HasPrefix(pkg, kopiaImporter) || strings.HasPrefix(pkg, module+"tests/") {
			continue
		}
		g.Expect(imports).NotTo(ContainSubstring("github.com/kopia/"), pkg+" must go through mover")
	}
}
