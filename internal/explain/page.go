package explain

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/selection"
)

// Report is what podkeep explain prints, as JSON and YAML by its fields.
type Report struct {
	Settings SettingsView  `json:"settings"`
	Pods     []Explanation `json:"pods"`
}

// SettingsView is what the verdicts depend on beside the pods.
type SettingsView struct {
	ServerDefault Value  `json:"serverDefault"`
	Backup        string `json:"backup,omitempty"`
	BackupDefault *bool  `json:"backupDefault,omitempty"`
	Policies      string `json:"policies,omitempty"`
}

// Value is a setting and where it comes from. A Value of null cannot be known, and
// From says why.
type Value struct {
	Value *bool  `json:"value"`
	From  string `json:"from"`
}

// NewReport explains all subjects, in their order.
func NewReport(subjects []Subject, settings Settings) Report {
	r := Report{
		Pods: make([]Explanation, 0, len(subjects)),
		Settings: SettingsView{
			ServerDefault: Value{Value: settings.ServerDefault, From: settings.ServerDefaultFrom},
			Backup:        settings.Backup, BackupDefault: settings.spec().DefaultVolumesToFsBackup, Policies: settings.PoliciesFrom,
		},
	}
	for _, s := range subjects {
		r.Pods = append(r.Pods, Explain(s, settings))
	}
	return r
}

// Page is the report for people.
func (r Report) Page() string {
	var page strings.Builder
	page.WriteString(r.header())
	page.WriteString("\n" + r.table())
	r.list(&page, "Warnings", func(e Explanation) []string {
		var lines []string
		for _, w := range e.Warnings {
			lines = append(lines, w.Text)
		}
		return lines
	})
	r.list(&page, "Stamps", r.stampLines)
	return page.String()
}

func (r Report) header() string {
	lines := [][2]string{}
	if len(r.Pods) == 1 {
		lines = append(lines, [2]string{r.Pods[0].Kind, r.Pods[0].title()})
	}
	seen := map[string]bool{}
	for _, e := range r.Pods {
		if seen[e.Namespace] {
			continue
		}
		seen[e.Namespace] = true
		policy := "has no label " + velerov1.FSBackupLabel
		if e.NamespacePolicy != "" {
			policy = velerov1.FSBackupLabel + "=" + e.NamespacePolicy
		}
		lines = append(lines, [2]string{"Namespace " + e.Namespace, policy})
	}
	lines = append(lines, [2]string{"Backup", r.Settings.backupText()}, [2]string{"Server default", r.Settings.ServerDefault.text()})

	var text strings.Builder
	out := tabwriter.NewWriter(&text, 0, 4, 2, ' ', 0)
	for _, l := range lines {
		_, _ = fmt.Fprintf(out, "%s:\t%s\n", l[0], l[1]) // cannot fail
	}
	_ = out.Flush()
	return text.String()
}

func (e Explanation) title() string {
	title := e.Namespace + "/" + e.Name
	if e.Phase != "" {
		title += " (" + e.Phase + ")"
	}
	if e.Owner != "" {
		title += ", made by " + e.Owner
	}
	return title
}

func (s SettingsView) backupText() string {
	text := cmp.Or(s.Backup, "none in particular")
	if s.BackupDefault != nil {
		text += ", defaultVolumesToFsBackup: " + strconv.FormatBool(*s.BackupDefault)
	}
	if s.Policies != "" {
		text += ", policies of " + s.Policies
	}
	return text
}

func (v Value) text() string {
	if v.Value == nil {
		return "not known: " + v.From
	}
	return fmt.Sprintf("%t (%s)", *v.Value, v.From)
}

// table has a row for each volume. Of several pods the first column says which.
func (r Report) table() string {
	headings := []string{"VOLUME", "INCLUDED", "REASON", "RULE", "WHAT IT MEANS", "HOW TO CHANGE IT"}
	several := len(r.Pods) > 1
	if several {
		headings = append([]string{"POD"}, headings...)
	}
	rows := [][]string{headings}
	for _, e := range r.Pods {
		for _, v := range e.Volumes {
			row := []string{v.Name, v.includedText(), string(v.Reason), strconv.Itoa(v.Rule), v.Meaning, v.Change}
			if several {
				row = append([]string{e.shortName()}, row...)
			}
			rows = append(rows, row)
		}
	}
	if len(rows) == 1 {
		return "No volumes.\n"
	}
	var text strings.Builder
	out := tabwriter.NewWriter(&text, 0, 4, 3, ' ', 0)
	for _, row := range rows {
		_, _ = fmt.Fprintln(out, strings.Join(row, "\t")) // cannot fail
	}
	_ = out.Flush()
	return text.String()
}

func (v Volume) includedText() string {
	switch {
	case v.Included == nil:
		return "?"
	case *v.Included:
		return "yes"
	default:
		return "no"
	}
}

// shortName names a pod by itself, and others with their kind.
func (e Explanation) shortName() string {
	name := e.Namespace + "/" + e.Name
	if e.Kind == kindPod {
		return name
	}
	return e.Kind + " " + name
}

func (r Report) list(page *strings.Builder, title string, of func(Explanation) []string) {
	begun := false
	for _, e := range r.Pods {
		for _, line := range of(e) {
			if !begun {
				page.WriteString("\n" + title + ":\n")
				begun = true
			}
			if len(r.Pods) > 1 {
				line = e.shortName() + ": " + line
			}
			page.WriteString("  " + line + "\n")
		}
	}
}

// stampLines say what stamps are worth. Of several pods only those are listed of
// which a backup decides otherwise.
func (r Report) stampLines(e Explanation) []string {
	if e.Stamp == nil {
		return nil
	}
	var lines []string
	for _, d := range e.Stamp.Differences {
		lines = append(lines, fmt.Sprintf("volume %s: the pod's stamp says %s, a backup now decides %s: %s", d.Volume, d.Stamped, d.Now, d.Why))
	}
	switch {
	case len(lines) > 0 || len(r.Pods) > 1:
		return lines
	case e.Stamp.State == selection.StampMissing:
		return []string{"the pod has none; a backup decides by the rules, as above"}
	case e.Stamp.State == selection.StampStale:
		return []string{"the pod's stamp is older than the settings, and says the same"}
	default:
		return []string{"the pod's stamp says the same"}
	}
}
